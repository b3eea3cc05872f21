#!/usr/bin/env python3
"""Training on trimtab arena serve with numpy alone: the cross-entropy method on the logarithms of fixed weights.

    trimtab arena serve &
    python3 docs/examples/train_numpy.py http://127.0.0.1:18081 --scenario capacity-1-2-4 --iterations 15

Every iteration draws one weight vector per environment from a normal distribution, plays all of them at once on the same
seeds, and moves the distribution to the best quarter. Replace `candidates` by a network to learn a policy.
"""
import argparse
import time

import numpy as np

from trimtab_gym import TrimtabVec


def play(vec, logs, seed, steps):
    """The mean reward of each row of logarithms of weights, on one seed; the first steps are left to the queues."""
    actions = np.clip(100 * np.exp(logs - logs.max(axis=1, keepdims=True)), 1, 100)
    vec.reset([seed] * vec.num_envs)
    rewards = np.array([vec.step(actions)[1] for _ in range(steps)])
    return rewards[2:].mean(axis=0)


def main():
    args = argparse.ArgumentParser()
    args.add_argument("base", nargs="?", default="http://127.0.0.1:18081")
    args.add_argument("--scenario", default="capacity-1-2-4")
    args.add_argument("--iterations", type=int, default=15)
    args.add_argument("--envs", type=int, default=16)
    args.add_argument("--steps", type=int, default=6)
    args.add_argument("--seed", type=int, default=1)
    f = args.parse_args()
    rng = np.random.default_rng(f.seed)
    vec = TrimtabVec(f.base, num_envs=f.envs, scenario=f.scenario)
    d = vec.spec_["action_space"]["shape"][0]
    mean, deviation = np.zeros(d), np.full(d, 0.8)
    began, steps = time.time(), 0
    for i in range(f.iterations):
        logs = mean + deviation * rng.standard_normal((f.envs, d))
        rewards = play(vec, logs, 1000 + i, f.steps)
        steps += f.envs * f.steps
        best = logs[np.argsort(rewards)[-f.envs // 4:]]
        mean, deviation = best.mean(axis=0), best.std(axis=0) + 0.05
        print(f"iteration {i + 1}: best {rewards.max():.3f}, mean {rewards.mean():.3f}")
    seconds = time.time() - began
    test = np.zeros((f.envs, d))
    test[1] = mean
    rewards = play(vec, test, 7, f.steps)
    weights = np.exp(mean - mean.max())
    print("shares:", np.array2string(weights, precision=2))
    print(f"{steps} steps in {seconds:.1f} s; learned {rewards[1]:.3f}, equal weights {rewards[0]:.3f}")
    print("better than equal weights" if rewards[1] > rewards[0] else "no better than equal")
    vec.close()


if __name__ == "__main__":
    main()
