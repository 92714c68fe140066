"""The packaged make-up of the reference study."""

from collections import Counter

from fracture_vae.cohort.reference import reference_study


def test_the_reference_study_has_its_published_make_up() -> None:
    study = reference_study()
    assert len(study) == 514
    assert len({vertebra.patient_id for vertebra in study}) == 38
    folds = Counter((vertebra.fold, vertebra.fractured) for vertebra in study)
    normals = {fold: sum(folds[(other, False)] for other in "12345" if other != fold) for fold in "12345"}
    assert sorted(normals.values(), reverse=True) == [190, 180, 177, 177, 176]
    assert (folds[("test", False)], folds[("test", True)]) == (54, 52)
    assert sum(not v.fractured for v in study if v.level == "L2") == 6, "the trap: normals are rare where fractures are"
