"""The OpenAPI document tells the truth about a running manager, whatever it is asked."""

from pathlib import Path

from tests.support.host import Host
from tests.support.schema import EXAMPLE, assert_answers_as_documented


def test_every_answer_is_documented_and_none_is_a_server_error(idle_host: Host, tmp_path: Path) -> None:
    host = idle_host
    host.install("coretelemetry")
    host.settings(services={"coretelemetry": {"config": str(host.config("telemetry")), "autostart": False}})
    host.launch()
    document = host.api.get("/openapi.json").text.replace(EXAMPLE, str(host.config("backwash")))
    assert_answers_as_documented(document, str(host.api.base_url), tmp_path, "--max-examples", "15")
    # It may have been deleted since.
    assert "backwash-corerl started" in host.log.read_text(), "no request ever started an agent"
    assert "coretelemetry started" in host.log.read_text(), "no request ever started a service"
    assert host.service("coretelemetry")["config_path"] == str(host.configs / "telemetry.yaml")
    assert "Traceback" not in host.log.read_text()


def test_a_foreign_web_page_gets_documented_answers_only(shared_host: Host, tmp_path: Path) -> None:
    assert_answers_as_documented(
        shared_host.api.get("/openapi.json").text, str(shared_host.api.base_url), tmp_path,
        "--header", "Origin: https://evil.example", "--phases", "examples,coverage",
        "--checks", "not_a_server_error,status_code_conformance,content_type_conformance,"
        "response_schema_conformance,response_headers_conformance",
    )  # fmt: skip
    assert shared_host.api.get("/api/agents/").json() == []
