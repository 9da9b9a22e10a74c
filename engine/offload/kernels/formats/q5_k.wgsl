fn codes(row: u32, unit: u32) -> Codes {
  let b = row * (UNITS / 8u) + unit / 8u;
  let part = unit & 7u;
  let at = QS / 4u + 8u * b + 2u * (part / 2u);
  let shift = vec4(4u * (part & 1u));
  let top = QH / 4u + 2u * b;
  let six = six_bit(b, part);
  return Codes(
    ((quads[at] >> shift) & NIBBLES) | (((quads[top] >> vec4(part)) & BITS) << vec4(4u)),
    ((quads[at + 1u] >> shift) & NIBBLES)
      | (((quads[top + 1u] >> vec4(part)) & BITS) << vec4(4u)),
    vec2(half_at(D, b) * six.x),
    vec2(-half_at(DMIN, b) * six.y),
  );
}
