#!/usr/bin/env bash
# Gaussian mixtures against scikit-learn's, in one interleaved run: the same matrix, K, start (means; equal weights;
# the variances of the columns) and number of iterations; then from random starts, the adjusted Rand index against
# the truth. Times are of the fit alone, without reading the file.
#
#   scripts/bench-mixture.sh [REPEATS]      default 3
set -euo pipefail
cd "$(dirname "$0")/.."
python=/usr/bin/python3
if ! "$python" -c 'import sklearn' 2>/dev/null; then
	echo "bench-mixture: skipped, $python has no scikit-learn (apt-get install python3-sklearn)"
	exit 0
fi
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
go build -o "$dir/trimtab" ./cmd/trimtab
"$python" - "$dir" "${1:-3}" <<'PY'
import json, statistics, subprocess, sys, time, warnings
import numpy as np, sklearn
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture
warnings.filterwarnings("ignore")
dir, repeats = sys.argv[1], int(sys.argv[2])

def draw(n, d, k, separation, seed):
    """k components with random means and covariances, drawn with equal probability"""
    rng = np.random.default_rng(seed)
    mu = separation * rng.standard_normal((k, d))
    a = 0.4 / np.sqrt(d) * rng.standard_normal((k, d, d)) + 0.7 * np.eye(d)
    z = rng.integers(k, size=n)
    x = rng.standard_normal((n, d))
    for c in range(k):
        x[z == c] = x[z == c] @ a[c].T + mu[c]
    return x, z, rng

def save(path, x):
    np.savetxt(path, x, delimiter=",", header=",".join(f"f{j}" for j in range(x.shape[1])), comments="", fmt="%.17g")

def trimtab(*args):
    out = subprocess.run([dir + "/trimtab", "cluster", "--json", *map(str, args)], check=True, capture_output=True, text=True)
    return json.loads(out.stdout.splitlines()[-1])

print(f"scikit-learn {sklearn.__version__}, numpy {np.__version__}, {repeats} interleaved repeats, medians")
print(f"{'rows':>7} {'d':>3} {'K':>3} {'separation':>10} {'iterations':>10} {'scikit-learn s':>15} {'trimtab s':>10} {'ratio':>6}   log-likelihood per row, difference")
for n, d, k in ((7000, 37, 27), (200000, 16, 8)):
    for separation in (0.3, 3):
        iterations = 20
        x, _, rng = draw(n, d, k, separation, 1)
        means = x[rng.choice(n, k, replace=False)]
        save(dir + "/x.csv", x)
        save(dir + "/means.csv", means)
        theirs, ours = [], []
        for _ in range(repeats):
            g = GaussianMixture(k, max_iter=iterations, tol=0, reg_covar=1e-6, init_params="random_from_data", means_init=means,
                                weights_init=np.full(k, 1 / k), precisions_init=np.stack([np.diag(1 / x.var(0))] * k), random_state=0)
            t = time.perf_counter()
            g.fit(x)
            theirs.append(time.perf_counter() - t)
            r = trimtab("--csv", dir + "/x.csv", "--k", k, "--means", dir + "/means.csv", "--max-iterations", iterations, "--tolerance", 0)
            ours.append(r["seconds"])
        a, b = statistics.median(theirs), statistics.median(ours)
        ll = g.score(x)
        assert g.n_iter_ == r["iterations"] == iterations, (g.n_iter_, r["iterations"])
        print(f"{n:>7} {d:>3} {k:>3} {separation:>10} {iterations:>10} {a:>15.3f} {b:>10.3f} {b/a:>6.3f}   {r['log_likelihood_per_sample']:.6f} against {ll:.6f}, {abs(r['log_likelihood_per_sample']/ll-1):.1e}")

print()
print("adjusted Rand index against the truth, 20 seeds, 2000 rows, 6 features, 5 components, 5 random starts each, means:")
for separation in (0.8, 1.2, 2.0):
    theirs, ours = [], []
    for seed in range(20):
        x, z, _ = draw(2000, 6, 5, separation, 100 + seed)
        save(dir + "/x.csv", x)
        theirs.append(adjusted_rand_score(z, GaussianMixture(5, n_init=5, random_state=seed, max_iter=200, tol=1e-4).fit_predict(x)))
        trimtab("--csv", dir + "/x.csv", "--k", 5, "--seed", seed, "--assignments", dir + "/a.csv")
        got = [int(line.split(",")[1]) for line in open(dir + "/a.csv").read().splitlines()[1:]]
        ours.append(adjusted_rand_score(z, got))
    worse = sum(o < t - 1e-3 for o, t in zip(ours, theirs))
    better = sum(o > t + 1e-3 for o, t in zip(ours, theirs))
    print(f"  separation {separation}: scikit-learn {statistics.mean(theirs):.4f}, trimtab {statistics.mean(ours):.4f}; better in {better}, worse in {worse} of 20")
PY
