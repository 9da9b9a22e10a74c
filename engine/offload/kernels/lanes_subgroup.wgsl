// Sums and maxima over a workgroup of LANES: within each subgroup at first, whatever its size.
struct Lane {
  @builtin(local_invocation_index) index: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(subgroup_id) subgroup: u32,
  @builtin(num_subgroups) n_subgroups: u32,
  @builtin(subgroup_invocation_id) within: u32,
}
var<workgroup> scratch: array<vec4<f32>, LANES>;

fn sum_of_lanes(mine: vec4<f32>, lane: Lane) -> vec4<f32> {
  var total = subgroupAdd(mine);
  if (lane.n_subgroups == 1u) {
    return total;
  }
  workgroupBarrier();
  if (lane.within == 0u) {
    scratch[lane.subgroup] = total;
  }
  workgroupBarrier();
  total = scratch[0];
  for (var i = 1u; i < lane.n_subgroups; i++) {
    total += scratch[i];
  }
  return total;
}

fn max_of_lanes(mine: vec4<f32>, lane: Lane) -> vec4<f32> {
  var most = subgroupMax(mine);
  if (lane.n_subgroups == 1u) {
    return most;
  }
  workgroupBarrier();
  if (lane.within == 0u) {
    scratch[lane.subgroup] = most;
  }
  workgroupBarrier();
  most = scratch[0];
  for (var i = 1u; i < lane.n_subgroups; i++) {
    most = max(most, scratch[i]);
  }
  return most;
}
