/** First in, first out, with room to put things back at the front; amortised O(1). */
export class Fifo<T> {
  #items: (T | undefined)[] = [];
  #head = 0;

  get size(): number {
    return this.#items.length - this.#head;
  }

  push(item: T): void {
    this.#items.push(item);
  }

  shift(): T | undefined {
    if (this.size === 0) return undefined;
    const item = this.#items[this.#head];
    this.#items[this.#head++] = undefined;
    if (this.#head > 1024 && this.#head * 2 > this.#items.length) this.#compact();
    return item;
  }

  /** All that is in it, oldest first; then it is empty. */
  takeAll(): T[] {
    const items = [...this];
    this.#items = [];
    this.#head = 0;
    return items;
  }

  unshiftAll(items: readonly T[]): void {
    if (items.length === 0) return;
    this.#items = [...items, ...this.#items.slice(this.#head)];
    this.#head = 0;
  }

  dropWhile(isUnwanted: (item: T) => boolean): void {
    while (this.size > 0 && isUnwanted(this.#items[this.#head] as T)) this.shift();
  }

  keepOnly(isWanted: (item: T) => boolean): void {
    this.#items = [...this].filter(isWanted);
    this.#head = 0;
  }

  *[Symbol.iterator](): IterableIterator<T> {
    for (let i = this.#head; i < this.#items.length; i++) yield this.#items[i] as T;
  }

  #compact(): void {
    this.#items = this.#items.slice(this.#head);
    this.#head = 0;
  }
}
