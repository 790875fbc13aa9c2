// The CUDA kernels of pair energies, on the CPU through cuda/simt.hpp, against the CPU kernel, which the Python tests
// compare with the plain-torch twin.
#include "cuda/pair_energy.cu"

#include <cstring>

#include "cfconv_problem.hpp"
#include "cpu/dispatch.hpp"

namespace {

using cfconv_test::check_close;
using cfconv_test::TestGraph;

constexpr double kCutoff = 6.0, kInfinity = std::numeric_limits<double>::infinity();

struct Outputs {
  std::vector<double> energy, grad_pos, virial, grad_atom, grad_law;
};

// Random atoms, all in the second of two systems; pairs with images, some beyond the cutoff, one atom without pairs.
struct Problem {
  std::mt19937 random{20250312};
  TestGraph graph;
  pyff::PairLaw law;
  std::int64_t n_atom, n_law;  // parameters
  std::vector<std::int64_t> batch;
  std::vector<std::int32_t> shift;
  std::vector<double> pos, cell, atom, parameters, grad_energy, cot_pos, cot_cell, cot_atom, cot_law;

  Problem(const pyff::PairLaw& l, std::int64_t atoms, int pairs)
      : graph(atoms, pairs, random), law(l), n_atom(l.kind < 4 ? 1 : 2), n_law(l.kind == 5 ? 8 : 0),
        batch(atoms, 1), shift(3 * graph.n_edges()) {
    pos = draw(3 * atoms, -2, 2);
    cell = {9, 9, 9, 9, 9, 9, 9, 9, 9, 5, 0.2, -0.3, 1, 4, 0.5, -0.4, 0.7, 6};
    atom = draw(n_atom * atoms, 0.5, 3);
    parameters = draw(n_law, 0.1, 1.5);
    grad_energy = draw(atoms, -1, 1);
    cot_pos = draw(3 * atoms, -1, 1);
    cot_cell = draw(18, -1, 1);
    cot_atom = draw(n_atom * atoms, -1, 1);
    cot_law = draw(n_law, -1, 1);
    std::uniform_int_distribution<std::int32_t> image(-1, 1);
    for (std::int64_t e = 0; e < graph.n_edges(); ++e) {
      if (e > graph.edge_rev[e]) continue;
      std::int32_t s[3] = {image(random), image(random), image(random)};
      if (graph.idx_i[e] == graph.idx_j[e]) s[e % 3] = 1;
      for (int k = 0; k < 3; ++k) shift[3 * e + k] = s[k], shift[3 * graph.edge_rev[e] + k] = -s[k];
    }
  }

  std::vector<double> draw(std::int64_t n, double low, double high) {
    std::uniform_real_distribution<double> uniform(low, high);
    std::vector<double> x(n);
    for (double& value : x) value = uniform(random);
    return x;
  }

  Outputs outputs() const {
    const std::int64_t n = graph.n_atoms;
    const auto array = [&](std::int64_t size) { return std::vector<double>(size, NAN); };
    return {array(n), array(3 * n), array(9 * n), array(n_atom * n), array(n_law * n)};
  }
  pyff::PairEnergyParams params(int order, Outputs& out) const {
    pyff::PairEnergyParams p{};
    p.n_atoms = graph.n_atoms;
    p.row_ptr = graph.row_ptr.data();
    p.idx_j = graph.idx_j.data();
    p.shift = shift.data();
    p.batch = batch.data();
    p.pos = pos.data(), p.cell = cell.data();
    p.law = law;
    p.atom = atom.data(), p.law_parameters = parameters.data();
    p.threads = 1;
    p.energy = out.energy.data();
    if (order == 0) return p;
    p.grad_energy = grad_energy.data();
    p.grad_pos = out.grad_pos.data(), p.virial = out.virial.data();
    p.grad_atom = out.grad_atom.data(), p.grad_law = out.grad_law.data();
    if (order == 1) return p;
    p.cot_pos = cot_pos.data(), p.cot_cell = cot_cell.data();
    p.cot_atom = cot_atom.data(), p.cot_law = cot_law.data();
    return p;
  }
};

pyff::PairLaw law(pyff::PairKind kind, double cutoff = kInfinity) {
  pyff::PairLaw l{static_cast<int>(kind), 14.4, 2.5, cutoff, 2.0, 1.2, 8.3, {1, 5.0, 0.0}};
  if (kind == pyff::PairKind::dispersion) l.strength = 27.2, l.length = 0.529;
  if (kind == pyff::PairKind::zbl) l.width = cutoff < kInfinity ? cutoff : kInfinity;
  return l;
}

std::vector<pyff::PairLaw> laws() {
  std::vector<pyff::PairLaw> all;
  for (int kind = 0; kind <= static_cast<int>(pyff::PairKind::zbl); ++kind)
    for (const double cutoff : {kCutoff, kInfinity}) all.push_back(law(static_cast<pyff::PairKind>(kind), cutoff));
  return all;
}

void run_cpu(int order, const pyff::PairEnergyParams& p) {
  if (order == 0) return pyff::pair_energy_forward(p);
  if (order == 1) return pyff::pair_energy_backward(p);
  pyff::pair_energy_double_backward(p);
}

void check_against_cpu(const Problem& problem) {
  for (const int order : {0, 1, 2}) {
    Outputs got = problem.outputs(), want = problem.outputs();
    run_cpu(order, problem.params(order, want));
    pyff::cuda::pair_energy(order, problem.params(order, got), {nullptr, nullptr, 0});
    const std::string name = "kind " + std::to_string(problem.law.kind) + " order " + std::to_string(order);
    const auto check = [&](const char* array, const auto& a, const auto& b) {
      check_close((name + " " + array).c_str(), a, b, 1e-12);
    };
    check("energy", got.energy, want.energy);
    if (order == 0) continue;
    check("grad_pos", got.grad_pos, want.grad_pos);
    check("virial", got.virial, want.virial);
    check("grad_atom", got.grad_atom, want.grad_atom);
    check("grad_law", got.grad_law, want.grad_law);
  }
}

}  // namespace

TEST(cuda_pair_energy_matches_the_cpu_kernel_for_every_law) {
  for (const auto& l : laws()) check_against_cpu(Problem(l, 6, 40));
}

TEST(cuda_pair_energy_without_pairs_gives_zeros) {
  check_against_cpu(Problem(law(pyff::PairKind::damped), 5, 0));
  check_against_cpu(Problem(law(pyff::PairKind::zbl), 0, 0));
}

TEST(cuda_pair_energy_computes_only_the_wanted_outputs) {
  const Problem problem(law(pyff::PairKind::zbl), 5, 20);
  for (const int order : {1, 2}) {
    Outputs all = problem.outputs(), one = problem.outputs();
    pyff::cuda::pair_energy(order, problem.params(order, all), {nullptr, nullptr, 0});
    auto p = problem.params(order, one);
    p.energy = p.virial = p.grad_atom = p.grad_law = nullptr;
    pyff::cuda::pair_energy(order, p, {nullptr, nullptr, 0});
    CHECK(one.grad_pos == all.grad_pos);
    CHECK(std::isnan(one.energy[0]) && std::isnan(one.virial[0]) && std::isnan(one.grad_law[0]));
  }
}

TEST(cuda_pair_energy_is_the_same_bits_in_any_order_of_threads) {
  const Problem problem(law(pyff::PairKind::dispersion, kCutoff), 6, 70);
  Outputs forward = problem.outputs(), reverse = problem.outputs();
  pyff::cuda::pair_energy(1, problem.params(1, forward), {nullptr, nullptr, 0});
  pyff::simt::host_order() = pyff::simt::Order::reverse;
  pyff::cuda::pair_energy(1, problem.params(1, reverse), {nullptr, nullptr, 0});
  pyff::simt::host_order() = pyff::simt::Order::forward;
  CHECK(forward.grad_pos == reverse.grad_pos && forward.virial == reverse.virial);
  CHECK(forward.grad_atom == reverse.grad_atom);
}

TEST(cuda_pair_energy_refuses_an_unknown_law) {
  Problem problem(law(pyff::PairKind::point), 3, 4);
  problem.law.kind = 6;
  Outputs out = problem.outputs();
  CHECK_THROWS(pyff::cuda::pair_energy(0, problem.params(0, out), {nullptr, nullptr, 0}), pyff::Error,
               "kind of a pair law");
}
