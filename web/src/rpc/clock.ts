const KEPT = 60;

interface Sample {
  offsetMs: number;
  roundTripMs: number;
}

/**
 * The monitor's clock less this machine's, in ms: of the last 60 exchanges the one of least round
 * trip, whose error is at most half that trip (RFC 5905, §8).
 */
export class ClockOffset {
  private samples: Sample[] = [];

  /** Record one exchange: sent and received by our clock, `serverMs` by the monitor's. */
  add(sentMs: number, serverMs: number, receivedMs: number): void {
    const roundTripMs = Math.max(0, receivedMs - sentMs);
    this.samples.push({ offsetMs: serverMs - (sentMs + receivedMs) / 2, roundTripMs });
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
