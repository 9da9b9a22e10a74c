// 32 values of x, and products with them, as `rounded` leaves them.
@group(0) @binding(3) var<storage, read> x: array<vec4<u32>>;
@group(0) @binding(7) var<storage, read> scales: array<vec4<f32>>;

alias Unit = Codes;

struct Given {
  low: vec4<u32>,
  high: vec4<u32>,
  scale: vec4<f32>,
}

fn given(t: u32, unit: u32) -> Given {
  let at = t * UNITS + unit;
  return Given(x[2u * at], x[2u * at + 1u], scales[at]);
}

fn unit_of(row: u32, unit: u32) -> Unit {
  return codes(row, unit);
}

fn products(a: vec4<u32>, b: vec4<u32>) -> f32 {
  return f32(
    dot4I8Packed(a.x, b.x) + dot4I8Packed(a.y, b.y)
    + dot4I8Packed(a.z, b.z) + dot4I8Packed(a.w, b.w)
  );
}

// `sum` and the product; `fma`: see `dot16`.
fn dot_unit(c: Unit, x: Given, sum: f32) -> f32 {
  let both = fma(c.scale.y, products(c.high, x.high), c.scale.x * products(c.low, x.low));
  return fma(x.scale.x, both, fma(c.offset.y, x.scale.z, fma(c.offset.x, x.scale.y, sum)));
}
