const FIRST_MS = 250;
const LIMIT_MS = 8_000;

/**
 * How long to wait before try number `attempt` (from 0), in ms: doubling from 250 ms to 8 s, the
 * upper half of each step drawn at random so that tabs do not return in one herd.
 */
export function backoffMs(attempt: number, random: () => number = Math.random): number {
  const ceiling = Math.min(LIMIT_MS, FIRST_MS * 2 ** Math.min(attempt, 16));
  return ceiling * (0.5 + 0.5 * random());
}
