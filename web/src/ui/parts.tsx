import type { ReactNode } from "react";
import type { SessionState } from "../gen/trainmon/v1/dashboard_pb";
import { lookOf } from "../store/states";
import { ShapeIcon } from "./icons";

/** A titled region of the page. */
export function Panel(props: {
  title: string;
  /** Grid area and modifier names. */
  className?: string;
  /** Shown at the right of the title. */
  aside?: ReactNode;
  children: ReactNode;
}) {
  return (
    <section className={`panel ${props.className ?? ""}`} aria-label={props.title}>
      <header className="panel-head">
        <h2>{props.title}</h2>
        {props.aside}
      </header>
      {props.children}
    </section>
  );
}

/** A session state: colour, shape and word. */
export function StateChip(props: {
  state: SessionState | undefined;
  testId?: string;
  /** Changes are read out. */
  live?: boolean;
}) {
  const look = lookOf(props.state);
  return (
    <span
      className="chip"
      data-tone={look.tone}
      data-state={look.name}
      data-testid={props.testId}
      title={look.meaning}
      role={props.live ? "status" : undefined}
    >
      <ShapeIcon shape={look.shape} />
      {look.word}
    </span>
  );
}

/** A part of a whole as a bar; `share` is 0 to 1, undefined when it is unknown. */
export function Bar(props: { label: string; share: number | undefined; tone?: string }) {
  const { share } = props;
  const percent = share === undefined ? undefined : Math.round(share * 1000) / 10;
  return (
    <progress
      className="bar"
      aria-label={props.label}
      data-tone={props.tone}
      max={100}
      {...(percent === undefined ? {} : { value: percent })}
    />
  );
}

/** A switch that stays pressed. */
export function Toggle(props: {
  pressed: boolean;
  onPress: (pressed: boolean) => void;
  title: string;
  testId?: string;
  disabled?: boolean;
  children: ReactNode;
}) {
  return (
    <button
      type="button"
      className="button small"
      disabled={props.disabled}
      aria-pressed={props.pressed}
      title={props.title}
      data-testid={props.testId}
      onClick={() => props.onPress(!props.pressed)}
    >
      {props.children}
    </button>
  );
}

/** Words where there is nothing to show yet. */
export function Nothing({ children }: { children: ReactNode }) {
  return <p className="nothing">{children}</p>;
}

/** A name and its value in a list of `pairs`. */
export function Pair({ name, value }: { name: string; value: string }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </div>
  );
}
