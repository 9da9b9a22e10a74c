// weights[row] . x[t]: a tile of 32 rows and 32 tokens to a workgroup of 64, 32 weights of each at a
// time. An invocation has 4 rows and 4 tokens, 8 apart.
const STRIDE: u32 = 9u;  // vectors from row to row: one more than there are, for other banks
var<workgroup> left: array<vec4<f32>, 32u * STRIDE>;
var<workgroup> right: array<vec4<f32>, 32u * STRIDE>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let tile = linear(vec3(group.xy, 0u));
  let first_token = 32u * group.z;
  let i = lane & 7u;
  let j = lane / 8u;
  let mine = lane & 31u;
  let row = row_of(tile, mine, 32u);
  let token = min(first_token + mine, n_rows() - 1u);
  var sums = mat4x4<f32>();
  for (var unit = 0u; unit < UNITS; unit++) {
    workgroupBarrier();
    if (lane < 32u) {
      let w = weights(row, unit);
      for (var k = 0u; k < 4u; k++) {
        left[mine * STRIDE + k] = w.low[k];
        left[mine * STRIDE + 4u + k] = w.high[k];
      }
    } else {
      let low = x[2u * (token * UNITS + unit)];
      let high = x[2u * (token * UNITS + unit) + 1u];
      for (var k = 0u; k < 4u; k++) {
        right[mine * STRIDE + k] = low[k];
        right[mine * STRIDE + 4u + k] = high[k];
      }
    }
    workgroupBarrier();
    for (var k = 0u; k < 8u; k++) {
      let a = left[i * STRIDE + k];
      let b = left[(i + 8u) * STRIDE + k];
      let c = left[(i + 16u) * STRIDE + k];
      let d = left[(i + 24u) * STRIDE + k];
      for (var s = 0u; s < 4u; s++) {
        let v = right[(j + 8u * s) * STRIDE + k];
        sums[s] += vec4(dot(a, v), dot(b, v), dot(c, v), dot(d, v));
      }
    }
  }
  for (var s = 0u; s < 4u; s++) {
    let t = first_token + j + 8u * s;
    for (var r = 0u; r < 4u; r++) {
      store(t, tile, i + 8u * r, 32u, sums[s][r], sums[s][r ^ 2u]);
    }
  }
}
