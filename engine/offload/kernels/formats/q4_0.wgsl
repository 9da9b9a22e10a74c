fn codes(row: u32, unit: u32) -> Codes {
  let b = row * UNITS + unit;
  let q = quads[QS / 4u + b];
  let d = half_at(D, b);
  return Codes(q & NIBBLES, (q >> vec4(4u)) & NIBBLES, vec2(d), vec2(-8f * d));
}
