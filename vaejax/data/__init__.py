"""Datasets: host arrays in, device arrays out.

Nothing heavy is imported here: tensorflow-datasets and scikit-learn wait until a
dataset needs them.
"""

from vaejax.data.dataset import DataError as DataError
from vaejax.data.dataset import Dataset as Dataset
from vaejax.data.dataset import Split as Split
from vaejax.data.dataset import default_scale as default_scale
from vaejax.data.dataset import sha256 as sha256
from vaejax.data.pictures import from_folder as from_folder
from vaejax.data.specs import load as load
from vaejax.data.specs import load_split as load_split
from vaejax.data.sprites import Factors as Factors
from vaejax.data.sprites import factor_indices as factor_indices
from vaejax.data.sprites import factor_values as factor_values
from vaejax.data.sprites import image_index as image_index
from vaejax.data.sprites import render as render
from vaejax.data.sprites import sample_factors as sample_factors
from vaejax.data.sprites import sprites as sprites
from vaejax.data.stream import Source as Source
from vaejax.data.stream import batches as batches
from vaejax.data.stream import from_arrays as from_arrays
from vaejax.data.support import check_support as check_support
from vaejax.data.tfds import from_tfds as from_tfds
from vaejax.data.transforms import binarize as binarize
from vaejax.data.transforms import dequantize as dequantize
from vaejax.data.transforms import threshold as threshold
from vaejax.data.transforms import unit_interval as unit_interval
