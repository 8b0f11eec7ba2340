"""The few colours that napari's own style sheet does not give, taken from its theme."""

from __future__ import annotations

from napari.utils.theme import get_theme


def sheet(theme_name: str) -> str:
    """A style sheet for the dock in one of napari's themes."""
    theme = get_theme(theme_name)
    accent, bright = theme.current.as_hex(), theme.highlight.as_hex()
    text = "{}, {}, {}".format(*theme.text.as_rgb_tuple()[:3])
    on_accent = "white" if theme.type == "dark" else f"rgb({text})"
    return f"""
        QLabel#heading {{ font-weight: bold; }}
        QLabel#hint {{ color: rgba({text}, 165); }}
        QLabel#problem {{ color: {"#ff8080" if theme.type == "dark" else "#b00020"}; }}
        QPlainTextEdit#refusal {{ color: {"#ff8080" if theme.type == "dark" else "#b00020"}; }}
        QToolButton#fold {{ border: none; padding: 1px 2px; background: transparent; }}
        QToolButton#cautions {{
            border: none; padding: 1px 2px; background: transparent;
            color: {"#ffc233" if theme.type == "dark" else "#8a5a00"};
        }}
        QLabel#good {{ color: {"#5fd38d" if theme.type == "dark" else "#1a7f43"}; }}
        QLabel#caution {{ color: {"#ffc233" if theme.type == "dark" else "#8a5a00"}; }}
        QLabel#caption {{ color: rgba({text}, 210); }}
        QComboBox:disabled, QLineEdit:disabled, QCheckBox:disabled {{ color: rgba({text}, 150); }}
        QToolButton#details {{ padding: 1px 6px; }}
        QPushButton#main {{ font-weight: bold; min-height: 26px; color: {on_accent}; background-color: {accent}; }}
        QPushButton#main:hover {{ background-color: {bright}; }}
        QPushButton#main:disabled {{ color: rgba({text}, 110); background-color: {theme.foreground.as_hex()}; }}
        QProgressBar::chunk {{ background-color: {accent}; }}
        QPushButton#second {{ min-height: 26px; }}
        QWidget#chart {{
            background-color: {theme.foreground.as_hex()}; color: rgb({text}); selection-background-color: {accent};
        }}
        QToolButton#segment {{ padding: 4px 2px; border-radius: 2px; }}
        QToolButton#segment:checked {{ background-color: {accent}; color: {on_accent}; }}
        QFrame#rule {{ background-color: {theme.foreground.as_hex()}; max-height: 1px; border: none; }}
    """
