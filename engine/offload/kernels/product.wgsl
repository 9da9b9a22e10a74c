// What becomes of weights[row] . x[t]. The rows up to each of ENDS have a part of `y` of their own,
// with a row for each of MAX_TOKENS tokens.
@group(0) @binding(4) var<storage, read_write> y: array<f32>;
@group(0) @binding(5) var<storage, read> bias: array<f32>;  // of all rows, if BIAS
@group(0) @binding(6) var<storage, read> residual: array<f32>;  // like y, if RESIDUAL

// If GATED, so many rows are followed by those that they gate.
const GATES: u32 = select(ROWS, ROWS / 2u, GATED);

// The row of slot `i` of `n` in a workgroup: if GATED, those of half of them are gates.
fn row_of(group: u32, i: u32, n: u32) -> u32 {
  if (GATED) {
    let half = n / 2u;
    return min(group * half + i % half, GATES - 1u) + select(0u, GATES, i >= half);
  }
  return min(group * n + i, ROWS - 1u);
}

fn biased(row: u32, value: f32) -> f32 {
  if (BIAS) {
    return value + bias[FIRST + row];
  }
  return value;
}

// Write the value of slot `i` of `n` for token `t`, or what it makes of `gated`, that of half later.
fn store(t: u32, group: u32, i: u32, n: u32, value: f32, gated: f32) {
  let stored = select(n, n / 2u, GATED);
  let row = group * stored + i;
  if (i >= stored || row >= GATES || t >= n_rows()) {
    return;
  }
  var result = activated(biased(row, value));
  if (GATED) {
    result *= biased(GATES + row, gated);
  }
  let ends = ENDS;
  var first = 0u;
  var end = ends.x;
  for (var part = 1u; part < 4u; part++) {
    if (FIRST + row >= end) {
      first = end;
      end = ends[part];
    }
  }
  let at = MAX_TOKENS * first + t * (end - first) + FIRST + row - first;
  if (RESIDUAL) {
    result += residual[at];
  }
  y[at] = result;
}
