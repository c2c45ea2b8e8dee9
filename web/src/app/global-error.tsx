"use client";

/** The last door: an error that no panel caught. */
export default function GlobalError({ error, reset }: { error: Error; reset: () => void }) {
  return (
    <html lang="en" data-theme="dark">
      <body>
        <main className="blank">
          <h1>The page has failed</h1>
          <p>Training is not affected. What went wrong: {error.message}</p>
          <button type="button" className="button" onClick={reset}>
            Show it again
          </button>
        </main>
      </body>
    </html>
  );
}
