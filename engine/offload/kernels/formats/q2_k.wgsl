fn codes(row: u32, unit: u32) -> Codes {
  let b = row * (UNITS / 8u) + unit / 8u;
  let part = unit & 7u;
  let at = QS / 4u + 4u * b + 2u * (part / 4u);
  let shift = vec4(2u * (part & 3u));
  let scales = words[SCALES + 4u * b + part / 2u] >> (16u * (part & 1u));
  let lows = vec2<f32>(vec2(scales >> 4u, scales >> 12u) & vec2(15u));
  return Codes(
    (quads[at] >> shift) & (3u * BITS),
    (quads[at + 1u] >> shift) & (3u * BITS),
    half_at(D, b) * vec2<f32>(vec2(scales, scales >> 8u) & vec2(15u)),
    -half_at(DMIN, b) * lows,
  );
}
