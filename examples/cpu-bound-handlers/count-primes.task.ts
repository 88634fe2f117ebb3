/** The computation, as a thread of the pool loads it. A stand-in for pictures, reports, prices, whatever takes seconds. */
export interface CountPrimes {
  readonly below: number;
}

/** How many primes there are below a number, by trial division: correct, and as slow as one could wish. */
export default function countPrimes({ below }: CountPrimes): number {
  let count = below > 2 ? 1 : 0;
  for (let candidate = 3; candidate < below; candidate += 2) if (isPrime(candidate)) count += 1;
  return count;
}

function isPrime(odd: number): boolean {
  for (let divisor = 3; divisor * divisor <= odd; divisor += 2) if (odd % divisor === 0) return false;
  return true;
}
