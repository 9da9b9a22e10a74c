// Sums and maxima over a workgroup of LANES, without subgroup operations.
struct Lane {
  @builtin(local_invocation_index) index: u32,
  @builtin(workgroup_id) group: vec3<u32>,
}
var<workgroup> scratch: array<vec4<f32>, LANES>;

fn sum_of_lanes(mine: vec4<f32>, lane: Lane) -> vec4<f32> {
  workgroupBarrier();
  scratch[lane.index] = mine;
  workgroupBarrier();
  for (var half = LANES / 2u; half > 0u; half /= 2u) {
    if (lane.index < half) {
      scratch[lane.index] += scratch[lane.index + half];
    }
    workgroupBarrier();
  }
  return scratch[0];
}

fn max_of_lanes(mine: vec4<f32>, lane: Lane) -> vec4<f32> {
  workgroupBarrier();
  scratch[lane.index] = mine;
  workgroupBarrier();
  for (var half = LANES / 2u; half > 0u; half /= 2u) {
    if (lane.index < half) {
      scratch[lane.index] = max(scratch[lane.index], scratch[lane.index + half]);
    }
    workgroupBarrier();
  }
  return scratch[0];
}
