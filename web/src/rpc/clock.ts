const KEPT = 60;
/** What two honest clocks may drift apart while sixty exchanges are kept, in ms. */
const DRIFT_MS = 250;

interface Sample {
  offsetMs: number;
  roundTripMs: number;
}

/**
 * The monitor's clock less this machine's, in ms: of the last 60 exchanges the one of least round
 * trip, whose error is at most half that trip (RFC 5905, §8). Two that cannot both be right mean that
 * a clock was set: what was measured before is forgotten.
 */
export class ClockOffset {
  private samples: Sample[] = [];

  /** Record one exchange: sent and received by our clock, `serverMs` by the monitor's. */
  add(sentMs: number, serverMs: number, receivedMs: number): void {
    const roundTripMs = Math.max(0, receivedMs - sentMs);
    const sample = { offsetMs: serverMs - (sentMs + receivedMs) / 2, roundTripMs };
    const best = this.best();
    if (best !== undefined && !agree(sample, best)) this.samples = [];
    this.samples.push(sample);
    if (this.samples.length > KEPT) this.samples.shift();
  }

  /** The best sample; undefined before the first exchange. */
  best(): Sample | undefined {
    let best = this.samples[0];
    for (const sample of this.samples) {
      if (best === undefined || sample.roundTripMs < best.roundTripMs) best = sample;
    }
    return best;
  }
}

/** Whether two exchanges can have met the same clocks: each is wrong by half its trip at most. */
function agree(a: Sample, b: Sample): boolean {
  const tolerance = (a.roundTripMs + b.roundTripMs) / 2 + DRIFT_MS;
  return Math.abs(a.offsetMs - b.offsetMs) <= tolerance;
}
