/** The work itself, which is nobody's business but ours. */
export interface Job {
  readonly id: string;
}

export async function work(job: Job): Promise<void> {
  if (job.id === 'bad') throw new Error('cannot be done');
  console.log(`worked ${job.id}`);
}
