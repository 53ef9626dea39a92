"""napari-sam2 models and info."""

from __future__ import annotations

import sys
from pathlib import Path

from cli_helpers import assert_one_line_error, run

import sam2_core


class TestModels:
    def test_list_names_all_models(self, capfd) -> None:
        done = run(capfd, "models", "list")
        assert done.code == 0
        names = [line.split()[0] for line in done.out.splitlines()[:-1]]
        assert names == sam2_core.list_models()
        assert "not downloaded" in done.out
        assert "Apache-2.0" in done.out

    def test_path_is_in_the_chosen_home(self, tmp_path, monkeypatch, capfd) -> None:
        monkeypatch.setenv("NAPARI_SAM2_HOME", str(tmp_path))
        done = run(capfd, "models", "path", "sam2.1_hiera_tiny")
        assert done.code == 0
        assert Path(done.out.strip()) == tmp_path / "sam2.1_hiera_tiny.pt"

    def test_download_shows_progress_and_the_path(self, monkeypatch, capfd) -> None:
        def fake(name: str, progress) -> Path:
            for done in (1_000_000, 156_008_466):
                progress(done, 156_008_466)
            return Path(f"/somewhere/{name}.pt")

        monkeypatch.setattr("sam2_core.download.download", fake)
        done = run(capfd, "models", "download", "sam2.1_hiera_tiny")
        assert done.code == 0
        assert done.out.strip().endswith("sam2.1_hiera_tiny.pt")
        assert "100%" in done.err

    def test_verify_of_a_missing_or_wrong_file(
        self, tmp_path, monkeypatch, capfd
    ) -> None:
        monkeypatch.setenv("NAPARI_SAM2_HOME", str(tmp_path))
        assert_one_line_error(run(capfd, "models", "verify", "sam2_hiera_tiny"))
        (tmp_path / "sam2_hiera_tiny.pt").write_bytes(b"not it")
        assert_one_line_error(run(capfd, "models", "verify", "sam2_hiera_tiny"))
        done = run(capfd, "models", "list")
        (line,) = [x for x in done.out.splitlines() if x.startswith("sam2_hiera_tiny")]
        assert line.endswith("incomplete")

    def test_bad_calls(self, capfd) -> None:
        for command in ("path", "verify", "download"):
            done = run(capfd, "models", command, "sam2_hiera_tinny")
            assert_one_line_error(done, "sam2_hiera_tiny")
            assert_one_line_error(run(capfd, "models", command), "NAME")
        assert_one_line_error(run(capfd, "models"), "command")
        assert_one_line_error(run(capfd, "models", "bake"), "bake")


def test_info_names_versions_device_and_speed(engine, capfd, monkeypatch) -> None:
    monkeypatch.setattr("sam2_core.registry.is_available", lambda name: True)
    done = run(capfd, "info", "--device", "cpu", "--dtype", "float32")
    assert done.code == 0
    lines = dict(line.split(":", 1) for line in done.out.splitlines())
    assert lines["napari-sam2"].strip() == sam2_core.__version__
    assert lines["python"].strip().startswith(sys.version.split()[0])
    assert lines["device"].strip().startswith("cpu (CPU")
    assert lines["dtype"].strip() == "float32"
    assert "encode" in lines["speed"]
    assert "click" in lines["speed"]
    assert len(engine.images) == 4
    clicks = {tuple(call[0].ravel()) for call in engine.named("predict")}
    assert len(clicks) == 6  # the same one again would be answered from memory


def test_info_without_weights_says_so(capfd, monkeypatch) -> None:
    monkeypatch.setattr("sam2_core.registry.is_available", lambda name: False)
    done = run(capfd, "info")
    assert done.code == 0
    assert "not measured" in done.out
    assert "none found" in done.out


def test_info_about_a_model_that_there_is_not_says_only_that(capfd) -> None:
    assert_one_line_error(run(capfd, "info", "--model", "bla"), "no model called 'bla'")
