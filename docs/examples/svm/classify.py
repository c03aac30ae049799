"""Classify handwritten digits with a support vector machine. This script knows nothing of the launcher."""

import argparse
import json

from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.svm import SVC

parser = argparse.ArgumentParser()
parser.add_argument("--C", type=float, default=1.0)
parser.add_argument("--kernel", default="rbf")
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--out", required=True)
args = parser.parse_args()

inputs, labels = load_digits(return_X_y=True)
train_x, test_x, train_y, test_y = train_test_split(inputs, labels, test_size=0.3, random_state=args.seed)
model = SVC(C=args.C, kernel=args.kernel).fit(train_x, train_y)
with open(args.out, "w") as file:
    json.dump({"accuracy": model.score(test_x, test_y), "support_vectors": int(model.n_support_.sum())}, file)
