import { useState } from "react";

/** The newest of a list that is oldest first, and a button for more where there are more. */
export function useNewest<T>(
  list: T[],
  first: number,
): { shown: T[]; earlier: number; more: () => void } {
  const [most, setMost] = useState(first);
  const earlier = Math.max(0, list.length - most);
  return { shown: list.slice(earlier), earlier, more: () => setMost(most + 5 * first) };
}

/** Says how many are not shown, and shows them. */
export function Earlier({ earlier, more }: { earlier: number; more: () => void }) {
  if (earlier === 0) return null;
  return (
    <button type="button" className="button small earlier" onClick={more}>
      {earlier} earlier
    </button>
  );
}
