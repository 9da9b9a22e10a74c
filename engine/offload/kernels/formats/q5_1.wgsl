fn codes(row: u32, unit: u32) -> Codes {
  let b = row * UNITS + unit;
  let q = quads[QS / 4u + b];
  let high = words[QH + b];
  let low = (q & NIBBLES) | fifth(high);
  let upper = ((q >> vec4(4u)) & NIBBLES) | fifth(high >> 16u);
  return Codes(low, upper, vec2(half_at(D, b)), vec2(half_at(M, b)));
}
