// What `attend` found in the pieces of the context, as one.
@group(0) @binding(1) var<storage, read> found: array<vec2<f32>>;
@group(0) @binding(2) var<storage, read> peaks: array<vec2<f32>>;
@group(0) @binding(3) var<storage, read> sinks: array<f32>;  // of heads, if SINKS
@group(0) @binding(4) var<storage, read_write> y: array<vec2<f32>>;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let at = linear(group) * LANES + lane;
  if (at >= run.n * HEADS * VALUE_PAIRS) {
    return;
  }
  let first = at / VALUE_PAIRS * run.n_splits;
  var most = peaks[first].x;
  for (var s = 1u; s < run.n_splits; s++) {
    most = max(most, peaks[first + s].x);
  }
  var total = vec2<f32>();
  var sum = 0f;
  if (SINKS) {
    let sink = sinks[at / VALUE_PAIRS % HEADS];
    most = max(most, sink);
    sum = exp(sink - most);
  }
  for (var s = 0u; s < run.n_splits; s++) {
    let share = exp(peaks[first + s].x - most);
    total += share * found[(first + s) * VALUE_PAIRS + at % VALUE_PAIRS];
    sum += share * peaks[first + s].y;
  }
  y[at] = total / sum;
}
