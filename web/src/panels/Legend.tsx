/** Names the lines of a chart by colour and by place. */
export function Legend({ lines }: { lines: { label: string; hue: number }[] }) {
  return (
    <ul className="legend">
      {lines.map(({ label, hue }) => (
        <li key={label} data-hue={(hue % 6) + 1}>
          {label}
        </li>
      ))}
    </ul>
  );
}
