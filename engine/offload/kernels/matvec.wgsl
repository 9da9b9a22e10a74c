// y[t, FIRST + row] = weights[row] . x[t], four rows and one token to a workgroup.
@group(0) @binding(3) var<storage, read> x: array<mat4x4<f32>>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(LANES)
fn main(lane: Lane) {
  let row = 4u * linear(vec3(lane.group.xy, 0u));
  let t = lane.group.z;
  var sums = vec4<f32>();
  for (var unit = lane.index; unit < UNITS; unit += LANES) {
    let low = x[2u * (t * UNITS + unit)];
    let high = x[2u * (t * UNITS + unit) + 1u];
    let both = vec2(
      dot(low[0] + low[1] + low[2] + low[3], vec4(1f)),
      dot(high[0] + high[1] + high[2] + high[3], vec4(1f)),
    );
    sums += vec4(
      dot_unit(min(row, ROWS - 1u), unit, low, high, both),
      dot_unit(min(row + 1u, ROWS - 1u), unit, low, high, both),
      dot_unit(min(row + 2u, ROWS - 1u), unit, low, high, both),
      dot_unit(min(row + 3u, ROWS - 1u), unit, low, high, both),
    );
  }
  sums = sum_of_lanes(sums, lane);
  if (lane.index < 4u && row + lane.index < ROWS) {
    let at = FIRST + row + lane.index;
    y[t * WIDTH + at] = biased(at, sums[lane.index]);
  }
}
