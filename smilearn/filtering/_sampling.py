"""What imbalanced-learn asks of a sampler, without imbalanced-learn."""

from dataclasses import dataclass, field

from sklearn.utils import InputTags, Tags


@dataclass(slots=True)
class SamplerInputTags(InputTags):
    """Tags of the input of a sampler: those of scikit-learn, and frames."""

    dataframe: bool = True


@dataclass(slots=True)
class SamplerTags:
    """Tags of a sampler: whether it sets `sample_indices_`."""

    sample_indices: bool = True


@dataclass(slots=True)
class TagsOfSampler(Tags):
    """Tags of an estimator that has `fit_resample`."""

    sampler_tags: SamplerTags = field(default_factory=SamplerTags)


def tags_of_sampler(tags, input_tags):
    """Make the tags of a sampler."""
    tags.target_tags.required = True
    return TagsOfSampler(
        estimator_type="sampler",
        target_tags=tags.target_tags,
        input_tags=SamplerInputTags(
            **{
                name: getattr(input_tags, name)
                for name in InputTags.__dataclass_fields__
            }
        ),
    )
