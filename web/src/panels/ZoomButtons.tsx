import { setPreferences } from "../runtime/preferences";
import { usePreferences, useRun, useStore } from "../ui/hooks";
import { LineIcon, type LineName } from "../ui/icons";

/** Zooms every chart of the run at once. */
export function ZoomButtons() {
  const run = useRun();
  const { history } = run;
  const { dragZooms } = usePreferences();
  const zoomed = useStore(history.zoom) !== undefined;
  return (
    <div className="zoom-buttons">
      <ZoomButton icon="zoomIn" label="Zoom in" onPress={() => run.zoom(0.5)} />
      <ZoomButton icon="zoomOut" label="Zoom out" onPress={() => run.zoom(2)} />
      <button
        type="button"
        className="button icon-only"
        aria-label="Drag to zoom"
        aria-pressed={dragZooms}
        title="Dragging zooms instead of looking back; with shift it always does"
        data-testid="drag-zooms"
        onClick={() => setPreferences({ dragZooms: !dragZooms })}
      >
        <LineIcon name="range" />
      </button>
      {zoomed && (
        <button
          type="button"
          className="button small"
          title="Show the whole run (0)"
          onClick={() => history.setZoom(undefined)}
        >
          Whole run
        </button>
      )}
    </div>
  );
}

function ZoomButton(props: { icon: LineName; label: string; onPress: () => void }) {
  return (
    <button
      type="button"
      className="button icon-only"
      aria-label={props.label}
      title={props.label}
      onClick={props.onPress}
    >
      <LineIcon name={props.icon} />
    </button>
  );
}
