// Rows of LAST values: (x - mean) / sqrt(mean((x - mean)^2) + eps) * weight + bias, the mean 0 if
// not CENTRED, or x / max(sqrt(sum(x^2)), eps) if OF_SUM. Weight and bias have PERIOD values.
// PARTS rows are those of a token.
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

fn result(i: u32) -> f32 {
  return y[i];
}

@compute @workgroup_size(LANES)
fn main(lane: Lane) {
  if (linear(lane.group) >= n_rows() * PARTS) {
    return;
  }
  let first = linear(lane.group) * LAST;
  var mean = 0f;
  if (CENTRED) {
    var sum = 0f;
    for (var i = lane.index; i < LAST; i += LANES) {
      sum += x[first + i];
    }
    mean = sum_of_lanes(vec4(sum), lane).x / f32(LAST);
  }
  var squares = 0f;
  for (var i = lane.index; i < LAST; i += LANES) {
    let v = x[first + i] - mean;
    squares += v * v;
  }
  let total = sum_of_lanes(vec4(squares), lane).x;
  let scale = 1f / select(sqrt(total / f32(LAST) + EPS), max(sqrt(total), EPS), OF_SUM);
  for (var i = lane.index; i < LAST; i += LANES) {
    let w = (first + i) % PERIOD;
    y[first + i] = (x[first + i] - mean) * scale * weight[w] + bias[w];
  }
  round_results(first, LAST, lane.index);
}
