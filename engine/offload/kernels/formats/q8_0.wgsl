fn codes(row: u32, unit: u32) -> Codes {
  let b = row * UNITS + unit;
  let at = QS / 4u + 2u * b;
  return Codes(quads[at], quads[at + 1u], vec2(half_at(D, b)), vec2(0f));
}
