fn codes(row: u32, unit: u32) -> Codes {
  let b = row * UNITS + unit;
  let q = quads[QS / 4u + b];
  return Codes(q & NIBBLES, (q >> vec4(4u)) & NIBBLES, vec2(half_at(D, b)), vec2(half_at(M, b)));
}
