// Each 32 values of `result` as int8 codes q, four to a word: scale * q. `scales` are (scale, sum of
// the first 16 of scale * q, of the last 16, 0). Where a value is not finite the scale is not, either:
// `max` of floats could hide it.
@group(0) @binding(11) var<storage, read_write> codes: array<vec4<u32>>;
@group(0) @binding(12) var<storage, read_write> scales: array<vec4<f32>>;

fn sum_of_codes(codes: vec4<u32>) -> f32 {
  const ONES = 0x01010101u;
  return f32(
    dot4I8Packed(codes.x, ONES) + dot4I8Packed(codes.y, ONES)
    + dot4I8Packed(codes.z, ONES) + dot4I8Packed(codes.w, ONES)
  );
}

fn round_unit(unit: u32) {
  var v: array<vec4<f32>, 8>;
  var most = vec4<u32>();  // bits of magnitudes, in the order of these; the largest are not finite
  for (var i = 0u; i < 8u; i++) {
    let at = 32u * unit + 4u * i;
    v[i] = vec4(result(at), result(at + 1u), result(at + 2u), result(at + 3u));
    most = max(most, bitcast<vec4<u32>>(v[i]) & vec4(0x7fffffffu));
  }
  let scale = bitcast<f32>(max(max(most.x, most.y), max(most.z, most.w))) / 127f;
  let inverse = select(0f, 1f / scale, scale > 0f);
  var q: array<u32, 8>;
  for (var i = 0u; i < 8u; i++) {
    q[i] = pack4xI8(vec4<i32>(round(v[i] * inverse)));
  }
  let low = vec4(q[0], q[1], q[2], q[3]);
  let high = vec4(q[4], q[5], q[6], q[7]);
  codes[2u * unit] = low;
  codes[2u * unit + 1u] = high;
  scales[unit] = vec4(scale, scale * sum_of_codes(low), scale * sum_of_codes(high), 0f);
}

// Round `n` values from `first` on, whole units, that this workgroup has written, if it is of use.
fn round_results(first: u32, n: u32, lane: u32) {
  storageBarrier();
  if (run.few == 1u) {
    for (var i = lane; i < n / 32u; i += LANES) {
      round_unit(first / 32u + i);
    }
  }
}
