export default function NotFound() {
  return (
    <main className="blank">
      <h1>No such page</h1>
      <p>
        The dashboard has one address. <a href="/">Show every session.</a>
      </p>
    </main>
  );
}
