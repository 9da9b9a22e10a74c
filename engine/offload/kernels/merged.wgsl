// What was found in the pieces of the context, as one: see `attend`.
@group(0) @binding(3) var<storage, read> sinks: array<f32>;  // of heads, if SINKS
@group(0) @binding(6) var<storage, read_write> found: array<vec2<f32>>;
@group(0) @binding(7) var<storage, read_write> peaks: array<vec2<f32>>;
@group(0) @binding(13) var<storage, read_write> y: array<vec2<f32>>;

fn result(i: u32) -> f32 {
  return y[i / 2u][i % 2u];
}

// By a whole workgroup.
fn merge(t: u32, head: u32, lane: u32) {
  let row = t * HEADS + head;
  let first = row * run.n_splits;
  var most = peaks[first].x;
  for (var s = 1u; s < run.n_splits; s++) {
    most = max(most, peaks[first + s].x);
  }
  var rest = 0f;
  if (SINKS) {
    most = max(most, sinks[head]);
    rest = exp(sinks[head] - most);
  }
  for (var pair = lane; pair < VALUE_PAIRS; pair += LANES) {
    var total = vec2<f32>();
    var sum = rest;
    for (var s = 0u; s < run.n_splits; s++) {
      let share = exp(peaks[first + s].x - most);
      total += share * found[(first + s) * VALUE_PAIRS + pair];
      sum += share * peaks[first + s].y;
    }
    y[row * VALUE_PAIRS + pair] = total / sum;
  }
  round_results(2u * row * VALUE_PAIRS, 2u * VALUE_PAIRS, lane);
}
