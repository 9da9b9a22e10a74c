fn codes(row: u32, unit: u32) -> Codes {
  let b = row * UNITS + unit;
  let q = quads[QS / 4u + b];
  let e = byte_at(E, b);
  // 2^(e - 128): the levels are doubled, and the two lowest exponents are of subnormal floats
  let d = bitcast<f32>(select((e - 1u) << 23u, 0x200000u << e, e < 2u));
  return Codes(looked_up(q), looked_up(q >> vec4(4u)), vec2(d), vec2(0f));
}
