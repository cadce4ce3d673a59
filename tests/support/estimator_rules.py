"""List the rules of scikit-learn that the trained estimators cannot follow, with the reasons."""


def expected_failed_checks(estimator):
    """Return the checks that fail by nature, with the reason."""
    reason = (
        "a mini-batch holds other bags when rows are repeated, and float32 sums have other "
        "roundings, while the check asks for 1e-7; rows of weight 0 are left out exactly"
    )
    checks = {
        f"check_sample_weight_equivalence_on_{kind}_data": reason for kind in ("dense", "sparse")
    }
    if getattr(estimator, "loss", None) == "poisson":
        checks["check_regressor_multioutput"] = "has negative y, which are no counts"
    return checks
