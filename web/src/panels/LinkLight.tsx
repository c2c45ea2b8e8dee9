import type { Link } from "../rpc/follow";
import { ShapeIcon } from "../ui/icons";

const WORDS: Record<
  Link["state"],
  { word: string; tone: string; shape: "check" | "dots" | "unlink" | "pause" }
> = {
  live: { word: "Live", tone: "live", shape: "check" },
  connecting: { word: "Connecting", tone: "wait", shape: "dots" },
  lost: { word: "Link lost", tone: "bad", shape: "unlink" },
  parked: { word: "Waiting", tone: "wait", shape: "pause" },
};

/** The state of the page's own link, in one word. Nothing is live of a run that is over. */
export function LinkLight({ link, over }: { link: Link; over?: boolean }) {
  const { tone, shape, ...look } = WORDS[link.state];
  const word = over && link.state === "live" ? "Connected" : look.word;
  return (
    <span
      className="chip link-light"
      data-tone={tone}
      data-state={link.state}
      data-testid="link-state"
      title={link.message ?? "The page's link to the monitor."}
      role="status"
    >
      <ShapeIcon shape={shape} />
      {word}
    </span>
  );
}
