import { type ReactNode, useLayoutEffect, useRef } from "react";
import { LineIcon } from "./icons";

/** A dialog of the browser: it holds the focus, and escape or a click beside it closes it. */
export function Modal(props: {
  label: string;
  className?: string;
  /** Whether a cross in its corner closes it, too; a question is answered by its buttons. */
  closable?: boolean;
  onClose: () => void;
  children: ReactNode;
}) {
  const dialog = useRef<HTMLDialogElement>(null);
  // Closed while it is still in the page: then the browser gives the focus back to where it was.
  useLayoutEffect(() => {
    const element = dialog.current;
    element?.showModal();
    return () => element?.close();
  }, []);
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: escape closes a dialog by itself.
    <dialog
      ref={dialog}
      className={`modal ${props.className ?? ""}`}
      aria-label={props.label}
      onCancel={props.onClose}
      onClick={(event) => event.target === dialog.current && props.onClose()}
    >
      <div className="modal-body">
        {props.closable && (
          <button
            type="button"
            className="button icon-only modal-close"
            aria-label="Close"
            onClick={props.onClose}
          >
            <LineIcon name="close" />
          </button>
        )}
        {props.children}
      </div>
    </dialog>
  );
}
