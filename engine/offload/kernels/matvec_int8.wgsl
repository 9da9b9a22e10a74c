// y[t, FIRST + row] = weights[row] . x[t], of x as `quantize` codes it, four rows to a workgroup.
@group(0) @binding(3) var<storage, read> x: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;
@group(0) @binding(6) var<storage, read> scales: array<vec4<f32>>;

fn products(a: vec4<u32>, b: vec4<u32>) -> f32 {
  return f32(
    dot4I8Packed(a.x, b.x) + dot4I8Packed(a.y, b.y)
    + dot4I8Packed(a.z, b.z) + dot4I8Packed(a.w, b.w)
  );
}

fn dot_codes(row: u32, unit: u32, low: vec4<u32>, high: vec4<u32>, scale: vec4<f32>) -> f32 {
  let c = codes(min(row, ROWS - 1u), unit);
  let both = vec2(products(c.low, low), products(c.high, high));
  return scale.x * dot(c.scale, both) + dot(c.offset, scale.yz);
}

@compute @workgroup_size(LANES)
fn main(lane: Lane) {
  let row = 4u * linear(vec3(lane.group.xy, 0u));
  let t = lane.group.z;
  var sums = vec4<f32>();
  for (var unit = lane.index; unit < UNITS; unit += LANES) {
    let low = x[2u * (t * UNITS + unit)];
    let high = x[2u * (t * UNITS + unit) + 1u];
    let scale = scales[t * UNITS + unit];
    sums += vec4(
      dot_codes(row, unit, low, high, scale),
      dot_codes(row + 1u, unit, low, high, scale),
      dot_codes(row + 2u, unit, low, high, scale),
      dot_codes(row + 3u, unit, low, high, scale),
    );
  }
  sums = sum_of_lanes(sums, lane);
  if (lane.index < 4u && row + lane.index < ROWS) {
    let at = FIRST + row + lane.index;
    y[t * WIDTH + at] = biased(at, sums[lane.index]);
  }
}
