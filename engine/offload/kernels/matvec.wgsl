// weights[row] . x[t], four rows and TOKENS tokens to a workgroup, which reads those rows once. What
// a token gets is the same whatever TOKENS is.
@compute @workgroup_size(LANES)
fn main(lane: Lane) {
  let group = linear(vec3(lane.group.xy, 0u));
  let first = TOKENS * lane.group.z;
  let rows = vec4(
    row_of(group, 0u, 4u), row_of(group, 1u, 4u), row_of(group, 2u, 4u), row_of(group, 3u, 4u)
  );
  var sums: array<vec4<f32>, TOKENS>;
  for (var unit = lane.index; unit < UNITS; unit += LANES) {
    let a = unit_of(rows.x, unit);
    let b = unit_of(rows.y, unit);
    let c = unit_of(rows.z, unit);
    let d = unit_of(rows.w, unit);
    for (var i = 0u; i < TOKENS; i++) {
      let values = given(min(first + i, n_rows() - 1u), unit);
      let sum = sums[i];
      sums[i] = vec4(
        dot_unit(a, values, sum.x), dot_unit(b, values, sum.y),
        dot_unit(c, values, sum.z), dot_unit(d, values, sum.w),
      );
    }
  }
  for (var i = 0u; i < TOKENS; i++) {
    let total = sum_of_lanes(sums[i], lane);
    let slot = lane.index & 3u;
    if (lane.index < 4u) {
      store(first + i, group, slot, 4u, total[slot], total[slot ^ 2u]);
    }
  }
}
