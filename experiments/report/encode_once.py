"""Question 1: one image, encoded 1,000 times."""

import jax
import jax.numpy as jnp
import numpy as np

from experiments.report import style
from experiments.report.finding import Figure, Finding, Row, Table
from experiments.report.statistics import over_both, over_one, plus_minus
from experiments.report.subject import Subject, pictures
from experiments.report.training import Models, Trained, codes, decode, encode, only
from vaejax.base import Key

NUM_ENCODINGS = 1000
NUM_IMAGES = 64  # for the averages
NUM_REPEATS = 32  # of each


def encode_once(models: Models, subject: Subject, key: Key) -> Finding:
    """Counts the distinct codes of one image, and measures how its decodings differ."""
    cloud_key, spread_key = jax.random.split(key)
    pair = (models.ae, models.vae)
    z = {t.name: draw(cloud_key, t, subject.new[:1], NUM_ENCODINGS) for t in pair}
    count = {name: distinct(z[name][:, :, 0]) for name in z}  # [S]

    images = subject.new[:NUM_IMAGES]
    repeats = draw(spread_key, models.vae, images, NUM_REPEATS)  # [R, S, N, D]
    decoded = np.stack([decode(models.vae, z) for z in repeats])  # [R, S, N, *event]
    deviation = decoded.std(axis=0, ddof=1)
    pixel = over_both(deviation.reshape(*deviation.shape[:2], -1).mean(axis=-1))
    width = repeats.std(axis=0, ddof=1).mean(axis=(1, 2))  # [S]
    apart = codes(models.vae, subject.new).std(axis=1, ddof=1).mean(axis=1)  # [S]
    share = over_one(width / apart)
    between = float(images.std(axis=0, ddof=1).mean())

    ae, vae = int(count["AE"].max()), int(count["VAE"].min())
    found = "one and the same code" if ae == 1 else f"up to {ae:,} different codes"
    table = Table(
        "Codes and decodings",
        ("AE", "VAE"),
        (
            Row(f"fewest distinct codes in {NUM_ENCODINGS:,}, of all seeds", (1, vae)),
            Row("most", (ae, int(count["VAE"].max()))),
            Row("s.d. of an image's codes over s.d. between images", (0, share), 3),
            Row("s.d. of an image's decodings, per pixel", (0, pixel), 4),
            Row("s.d. between images, per pixel", (between, between), 4),
        ),
    )
    return Finding(
        title=f"One image, encoded {NUM_ENCODINGS:,} times",
        sentence=(
            f"Encoded {NUM_ENCODINGS:,} times, an image gets {found} from the AE and "
            f"{vae:,} different ones from the VAE, whose decodings differ by "
            f"{plus_minus(pixel, 3)} per pixel."
        ),
        details=(
            "The VAE's code of one image is a cloud, in each dimension "
            f"{plus_minus(share, 2)} times as wide as the centres of different images' "
            "clouds are spread. Its decodings differ "
            f"{pixel.value / between:.2f} times as much as different images do "
            f"({between:.3f} per pixel)."
        ),
        notes=(
            f"Standard deviations are means over dimensions or pixels, {len(images)} "
            f"new images, {NUM_REPEATS} encodings each, and all seeds; the pictures "
            f"show one image, one seed and {NUM_ENCODINGS:,} encodings.",
        ),
        tables=(
            table,
            Table(
                "Over the spread of different images",
                ("share",),
                (Row("of the VAE's decodings", (pixel.value / between,), 2),),
            ),
        ),
        figures=(
            *(_cloud(t, z[t.name][:, 0, 0], subject) for t in pair),
            _decodings(models, subject, z),
        ),
    )


def draw(key: Key, trained: Trained, x: np.ndarray, num: int) -> np.ndarray:
    """Encodes the same images `num` times: z `[num, S, N, D]`."""
    posterior = encode(trained.model, trained.params, jnp.asarray(x))
    return np.asarray(posterior.sample(jax.random.clone(key), (num,)))


def distinct(z: np.ndarray) -> np.ndarray:
    """How many of the codes `[num, S, D]` differ, for each seed `[S]`."""
    return np.array([len(np.unique(z[:, s], axis=0)) for s in range(z.shape[1])])


def _cloud(trained: Trained, cloud: np.ndarray, subject: Subject) -> Figure:
    """The codes of one image among those of all new images."""
    center = codes(only(trained), subject.new)[0]
    first, second = np.sort(np.argsort(-center.std(axis=0))[:2])
    is_point = len(np.unique(cloud, axis=0)) == 1
    look: style.Look = {"s": 70, "marker": "X"} if is_point else {"s": 6, "alpha": 0.5}
    if is_point:
        cloud = cloud[:1]
    plot, ax = style.axes(4.2, 3.5)
    grey: style.Look = {
        "s": 7,
        "color": "#BFC5CC",
        "linewidths": 0,
        "label": "other images",
    }
    ax.scatter(center[:, first], center[:, second], **grey)
    color = style.COLORS[trained.name]
    label = f"this image, {NUM_ENCODINGS:,} times"
    x, y = cloud[:, first], cloud[:, second]
    ax.scatter(x, y, color=color, linewidths=0, label=label, **look)
    ax.set_title(trained.name)
    ax.set_xlabel(f"latent dimension {first + 1}")
    ax.set_ylabel(f"latent dimension {second + 1}")
    ax.margins(y=0.14)
    ax.legend(loc="upper left", ncols=2, handletextpad=0.1, columnspacing=1)
    return Figure(
        f"encode_cloud_{trained.name.lower()}",
        plot,
        f"{trained.name}: the codes of one image (colour) among the mean codes of all "
        "new images, in the two latent dimensions that vary most.",
        f"Scatter plot of latent codes of the {trained.name}: those of one image are "
        f"{'a single point' if is_point else 'a cloud'} among those of other images.",
    )


def _decodings(models: Models, subject: Subject, z: dict[str, np.ndarray]) -> Figure:
    """The image, what the AE makes of it, and what the VAE's cloud decodes to."""
    point = decode(only(models.ae), z["AE"][:1, 0, 0][None])[0]  # [1, *event]
    cloud = decode(only(models.vae), z["VAE"][:, 0, 0][None])[0]  # [1000, *event]
    deviation = cloud.std(axis=0, ddof=1, keepdims=True)
    top = float(deviation.max())
    parts = [
        subject.new[:1],
        point,
        cloud.mean(axis=0, keepdims=True),
        cloud[:3],
        deviation / max(top, 1e-12),
    ]
    row = pictures(np.concatenate(parts), subject.event_shape)[None]
    plot, ax = style.axes(5.4, style.heights(row.shape, 5.2, 0.35))
    names = ["image", "AE", "VAE mean", "draw 1", "draw 2", "draw 3", "VAE s.d."]
    style.show(ax, row, columns=names)
    return Figure(
        "encode_decodings",
        plot,
        f"The image, the AE's decoding, and of the VAE's {NUM_ENCODINGS:,} decodings "
        f"the mean, three draws and the standard deviation, whose scale ends at "
        f"{top:.2f}.",
        "A row of pictures: the image, the auto-encoder's decoding, the mean of the "
        "VAE's decodings, three of them, and their standard deviation per pixel.",
    )
