fn codes(row: u32, unit: u32) -> Codes {
  let b = row * (UNITS / 8u) + unit / 8u;
  let part = unit & 7u;
  let q = quads[QS / 4u + 8u * b + part];
  let low = (words[SCALES_L + b] >> (4u * part)) & 15u;
  let high = (words[SCALES_H + b / 2u] >> (16u * (b & 1u) + 2u * part)) & 3u;
  let d = half_at(D, b) * (f32(low | (high << 4u)) - 32f);
  return Codes(looked_up(q), looked_up(q >> vec4(4u)), vec2(d), vec2(0f));
}
