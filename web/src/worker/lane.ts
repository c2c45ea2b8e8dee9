/** Lets tasks through one after the other, in the order they came. */
export class Lane {
  private last: Promise<unknown> = Promise.resolve();

  /** Run a task once those before it are done, however they ended. */
  run<T>(task: () => Promise<T>): Promise<T> {
    const result = this.last.then(task, task);
    this.last = result.catch(() => undefined);
    return result;
  }
}
