// Continuous-filter convolution on the CPU: forward, backward and double backward for filters from tables and from
// the network. Equations: docs/derivations/cfconv.md. Plain oracle: csrc/kernels/cfconv.cpp.
//
// A filter serves both directions of a pair (cpu/pairs.hpp); pairs are collected into tiles, so that filters are
// computed many at a time.
#include "api/pyff.hpp"
#include "core/parallel.hpp"
#include "cpu/filter_network.hpp"
#include "cpu/filter_table.hpp"
#include "cpu/pairs.hpp"

namespace pyff::PYFF_ISA {
namespace {

// Calls flush(pairs, distances, count) for tiles of the pairs of receivers [begin, end).
template <int Tile, class Flush>
void for_distance_tiles(const Graph& g, const double* distance, std::int64_t begin, std::int64_t end, Flush&& flush) {
  double d[Tile];
  for_tiles<Tile>(
      g, begin, end, [](const Pair&) { return true; },
      [&](const Pair* pairs, int n) {
        for (int t = 0; t < n; ++t) d[t] = distance[pairs[t].edge];
        flush(pairs, d, n);
      });
}

template <class T>
void clear_rows(T* x, std::int64_t begin, std::int64_t end, std::int64_t f) {
  if (!x) return;
  for (std::int64_t k = begin * f; k < end * f; ++k) x[k] = T(0);
}

// One thread's share of the work: its filter source, its tile of filters and its rows.
template <class Filter, class Params, class T>
class Worker {
 public:
  static constexpr int kTile = Filter::kTile;

  Worker(const Params& p, int thread, T* scratch)
      : p_(p), d_(p.data), f_(p.data.n_features), ld_(padded<T>(f_)),
        filter_(p, thread, scratch + cfconv_tile_elements<T>(f_)) {
    const std::int64_t panel = kTile * ld_;
    w_ = {{scratch, scratch + panel, scratch + 2 * panel}, ld_};
    wb_ = scratch + 3 * panel;
    db_ = scratch + 4 * panel;
  }

  static std::int64_t scratch(const Params& p) {
    return cfconv_tile_elements<T>(p.data.n_features) + Filter::scratch(p);
  }

  void forward(std::int64_t begin, std::int64_t end) {
    clear_rows(p_.out.y, begin, end, f_);
    for_distance_tiles<kTile>(d_.graph, d_.distance, begin, end, [&](const Pair* pairs, const double* d, int n) {
      filter_.evaluate(d, n, 0, w_);
      for (int t = 0; t < n; ++t) scatter(pairs[t], w_.w[0] + t * ld_, d_.h, p_.out.y);
    });
  }

  void backward(std::int64_t begin, std::int64_t end, bool parameters) {
    clear_rows(p_.out.grad_h, begin, end, f_);
    for_distance_tiles<kTile>(d_.graph, d_.distance, begin, end, [&](const Pair* pairs, const double* d, int n) {
      filter_.evaluate(d, n, p_.out.grad_distance ? 1 : 0, w_);
      for (int t = 0; t < n; ++t) {
        const Pair& q = pairs[t];
        if (p_.out.grad_h) scatter(q, w_.w[0] + t * ld_, d_.grad_y, p_.out.grad_h);
        if (p_.out.grad_distance) distance_gradient(q, w_.w[1] + t * ld_);
        if (parameters) outer(q, wb_ + t * ld_, d_.grad_y, d_.h);
      }
      if (parameters) filter_.accumulate(d, n, wb_, nullptr, ld_);
    });
    filter_.finish();
  }

  void double_backward(std::int64_t begin, std::int64_t end, bool parameters) {
    clear_rows(p_.out.grad_grad_y, begin, end, f_);
    clear_rows(p_.out.grad_h, begin, end, f_);
    for_distance_tiles<kTile>(d_.graph, d_.distance, begin, end, [&](const Pair* pairs, const double* d, int n) {
      filter_.evaluate(d, n, p_.out.grad_distance ? 2 : 1, w_);
      for (int t = 0; t < n; ++t) {
        const Pair& q = pairs[t];
        second_order(q, t);
        if (p_.out.grad_distance) second_distance_gradient(q, t);
        if (parameters) second_outer(q, t);
      }
      if (parameters) filter_.accumulate(d, n, wb_, db_, ld_);
    });
    filter_.finish();
  }

 private:
  // y_i += w x_j, and y_j += w x_i for a pair that is visited once
  void scatter(const Pair& q, const T* w, const T* x, T* y) const {
    const T *xi = x + q.i * f_, *xj = x + q.j * f_;
    T *yi = y + q.i * f_, *yj = y + q.j * f_;
    if (q.both && q.i != q.j)
      for_lanes<T>(f_, [&](std::int64_t k, auto lane) {
        const auto v = lane.get(w + k);
        lane.put(yi + k, lane.get(yi + k) + v * lane.get(xj + k));
        lane.put(yj + k, lane.get(yj + k) + v * lane.get(xi + k));
      });
    else {
      const T twice = q.both ? T(2) : T(1);  // an atom and its own image: both directions fall on one row
      for_lanes<T>(f_, [&](std::int64_t k, auto lane) {
        lane.put(yi + k, lane.get(yi + k) + twice * lane.get(w + k) * lane.get(xj + k));
      });
    }
  }

  void distance_gradient(const Pair& q, const T* slope) const {
    const T *gi = d_.grad_y + q.i * f_, *gj = d_.grad_y + q.j * f_, *hi = d_.h + q.i * f_, *hj = d_.h + q.j * f_;
    LaneSum<T> forth, back;
    for_lanes<T>(f_, [&](std::int64_t k, auto lane) {
      const auto s = lane.get(slope + k);
      forth.add(s * lane.get(gi + k) * lane.get(hj + k));
      if (q.both) back.add(s * lane.get(gj + k) * lane.get(hi + k));
    });
    p_.out.grad_distance[q.edge] = forth.total();
    if (q.both) p_.out.grad_distance[q.reversed] = back.total();
  }

  void outer(const Pair& q, T* wb, const T* a, const T* b) const {  // a_i b_j (+ a_j b_i)
    const T *ai = a + q.i * f_, *aj = a + q.j * f_, *bi = b + q.i * f_, *bj = b + q.j * f_;
    for_lanes<T>(f_, [&](std::int64_t k, auto lane) {
      auto v = lane.get(ai + k) * lane.get(bj + k);
      if (q.both) v += lane.get(aj + k) * lane.get(bi + k);
      lane.put(wb + k, v);
    });
  }

  // cotangent of grad_y: ggy_i += W u_j + v_e D h_j; cotangent of h: gh_i += v_rev D grad_y_j
  void second_order(const Pair& q, int t) const {
    const T *w = w_.w[0] + t * ld_, *slope = w_.w[1] + t * ld_;
    receive(q.i, q.j, d_.v[q.edge], d_.v[q.reversed], w, slope);
    if (q.both) receive(q.j, q.i, d_.v[q.reversed], d_.v[q.edge], w, slope);
  }

  void receive(std::int64_t i, std::int64_t j, double v, double v_reversed, const T* w, const T* slope) const {
    const T v1 = T(v), v2 = T(v_reversed);
    const T *u = d_.u + j * f_, *h = d_.h + j * f_, *gy = d_.grad_y + j * f_;
    T *ggy = p_.out.grad_grad_y + i * f_, *gh = p_.out.grad_h + i * f_;
    for_lanes<T>(f_, [&](std::int64_t k, auto lane) {
      const auto s = lane.get(slope + k);
      if (p_.out.grad_grad_y)
        lane.put(ggy + k, lane.get(ggy + k) + lane.get(w + k) * lane.get(u + k) + v1 * s * lane.get(h + k));
      if (p_.out.grad_h) lane.put(gh + k, lane.get(gh + k) + v2 * s * lane.get(gy + k));
    });
  }

  void second_distance_gradient(const Pair& q, int t) const {
    const T *slope = w_.w[1] + t * ld_, *curve = w_.w[2] + t * ld_;
    const auto one = [&](std::int64_t i, std::int64_t j, double v) {
      const T *gy = d_.grad_y + i * f_, *u = d_.u + j * f_, *h = d_.h + j * f_;
      LaneSum<T> s;
      for_lanes<T>(f_, [&](std::int64_t k, auto lane) {
        s.add(lane.get(gy + k) *
              (lane.get(u + k) * lane.get(slope + k) + T(v) * lane.get(h + k) * lane.get(curve + k)));
      });
      return s.total();
    };
    p_.out.grad_distance[q.edge] = one(q.i, q.j, d_.v[q.edge]);
    if (q.both) p_.out.grad_distance[q.reversed] = one(q.j, q.i, d_.v[q.reversed]);
  }

  // Wb = gy_i u_j, Db = v_e gy_i h_j, and the other direction of a pair that is visited once
  void second_outer(const Pair& q, int t) const {
    const T *gi = d_.grad_y + q.i * f_, *gj = d_.grad_y + q.j * f_, *ui = d_.u + q.i * f_, *uj = d_.u + q.j * f_,
            *hi = d_.h + q.i * f_, *hj = d_.h + q.j * f_;
    const T v = T(d_.v[q.edge]), back = T(d_.v[q.reversed]);
    for_lanes<T>(f_, [&](std::int64_t k, auto lane) {
      const auto a = lane.get(gi + k), b = lane.get(gj + k);
      auto w = a * lane.get(uj + k), s = v * a * lane.get(hj + k);
      if (q.both) {
        w += b * lane.get(ui + k);
        s += back * b * lane.get(hi + k);
      }
      lane.put(wb_ + t * ld_ + k, w);
      lane.put(db_ + t * ld_ + k, s);
    });
  }

  const Params& p_;
  const CfconvData<T>& d_;
  std::int64_t f_, ld_;
  Filter filter_;
  FilterTile<T> w_;
  T *wb_, *db_;
};

template <class T>
using TableWorker = Worker<TableFilter<T>, CfconvTableParams<T>, T>;
template <class T>
using NetworkWorker = Worker<NetworkFilter<T>, CfconvNetworkParams<T>, T>;

// job(worker, begin, end) for each thread's receivers.
template <class W, class Params, class Job>
void run(const Params& p, Job&& job) {
  const int chunks = p.data.threads;
  parallel_ranges(chunks, chunks, [&](int chunk, std::int64_t, std::int64_t) {
    W worker(p, chunk, p.data.scratch + chunk * W::scratch(p));
    job(worker, chunk_begin(p.data.graph, chunk, chunks), chunk_begin(p.data.graph, chunk + 1, chunks));
  });
}

template <class T>
bool wanted(const TableGradient<T>& g) {
  return g.coef != nullptr;
}
template <class T>
bool wanted(const NetworkGradient<T>& g) {
  return g.w1 != nullptr;
}

}  // namespace

#define PYFF_CFCONV(Kind, T)                                                                                     \
  void cfconv_forward(const Cfconv##Kind##Params<T>& p) {                                                        \
    run<Kind##Worker<T>>(p, [](auto& w, std::int64_t a, std::int64_t b) { w.forward(a, b); });                   \
  }                                                                                                              \
  void cfconv_backward(const Cfconv##Kind##Params<T>& p) {                                                       \
    run<Kind##Worker<T>>(p, [&](auto& w, std::int64_t a, std::int64_t b) { w.backward(a, b, wanted(p.grad)); }); \
  }                                                                                                              \
  void cfconv_double_backward(const Cfconv##Kind##Params<T>& p) {                                                \
    run<Kind##Worker<T>>(                                                                                        \
        p, [&](auto& w, std::int64_t a, std::int64_t b) { w.double_backward(a, b, wanted(p.grad)); });           \
  }

PYFF_CFCONV(Table, float)
PYFF_CFCONV(Table, double)
PYFF_CFCONV(Network, float)
PYFF_CFCONV(Network, double)
#undef PYFF_CFCONV

}  // namespace pyff::PYFF_ISA
