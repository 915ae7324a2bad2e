"""Chat templates that show tools and write calls in the ways that the common families do.

Each is written for these tests, and no longer than it takes to write calls as its family does.
"""

from __future__ import annotations

from collections.abc import Mapping

from quorate.request.tool_format import ID_SLOT, ToolFormat

_OPENS = "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
_SHOWN = "{% if tools %}<|im_start|>system\n{{ tools | tojson }}<|im_end|>\n{% endif %}"

TAGGED = (
    _SHOWN + "{% for m in messages %}"
    "{% if m.role == 'tool' %}<|im_start|>user\n<tool_response>\n{{ m.content }}\n"
    "</tool_response><|im_end|>\n{% else %}<|im_start|>{{ m.role }}"
    "{% if m.content %}{{ '\n' + m.content }}{% endif %}"
    '{% for c in m.tool_calls or [] %}{{ \'\n<tool_call>\n{"name": "\' + c.function.name + '
    "'\", \"arguments\": ' + (c.function.arguments | tojson) + '}\n</tool_call>' }}{% endfor %}"
    "<|im_end|>\n{% endif %}{% endfor %}" + _OPENS
)
"""As Qwen 2.5, Qwen 3 and Hermes."""

ONE_BARE_OBJECT = (
    _SHOWN + "{% for m in messages %}{% if m.tool_calls %}"
    "{% if m.tool_calls | length > 1 %}{{ raise_exception('one call at once') }}{% endif %}"
    "{% set c = m.tool_calls[0].function %}<|im_start|>assistant\n"
    '{"name": "{{ c.name }}", "parameters": {{ c.arguments | tojson }}}<|im_end|>\n'
    "{% elif m.role == 'tool' %}<|im_start|>ipython\n"
    "{{ {'output': m.content} | tojson }}<|im_end|>\n"
    "{% else %}<|im_start|>{{ m.role }}\n{{ m.content | trim }}<|im_end|>\n{% endif %}{% endfor %}"
    + _OPENS
)
"""As Llama 3.1."""

LIST_WITH_IDS = (
    "{% for m in messages %}{% if m.role == 'user' %}"
    "{% if tools and loop.last or tools %}[AVAILABLE_TOOLS]{{ tools | tojson }}[/AVAILABLE_TOOLS]"
    "{% endif %}[INST]{{ m.content }}[/INST]{% elif m.tool_calls %}[TOOL_CALLS] ["
    "{% for c in m.tool_calls %}{% if c.id | length != 9 %}{{ raise_exception('ids have nine "
    'characters\') }}{% endif %}{{ (c.function | tojson)[:-1] }}, "id": "{{ c.id }}"}'
    "{% if not loop.last %}, {% endif %}{% endfor %}]</s>{% elif m.role == 'tool' %}[TOOL_RESULTS]"
    '{"content": {{ m.content }}, "call_id": "{{ m.tool_call_id }}"}[/TOOL_RESULTS]'
    "{% else %} {{ m.content }}</s>{% endif %}{% endfor %}"
)
"""As Mistral."""

SECTIONS = (
    "{{ tools | tojson if tools else '' }}{% for m in messages %}{% if m.role == 'user' %}"
    "<|User|>{{ m.content }}{% elif m.tool_calls is defined %}{% if m.content is not none %}"
    "{{ raise_exception('calls have no text') }}{% endif %}<|Assistant|><|calls|>"
    "{% for c in m.tool_calls %}{{ '<|call|>function<|sep|>' + c.function.name + '\n```json\n' + "
    "c.function.arguments + '\n```<|/call|>' }}{% if not loop.last %}{{ '\n' }}{% endif %}"
    "{% endfor %}<|/calls|><|eos|>{% elif m.role == 'tool' %}<|out|>{{ m.content }}<|/out|>"
    "{% else %}<|Assistant|>{{ m.content }}<|eos|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|Assistant|>{% endif %}"
)
"""As DeepSeek: arguments as text, and no content beside calls."""

XML = (
    _SHOWN + "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}"
    "{% for c in m.tool_calls or [] %}<function={{ c.function.name }}>"
    "{% for name, value in c.function.arguments | items %}<parameter={{ name }}>{{ value }}"
    "</parameter>{% endfor %}</function>{% endfor %}<|im_end|>\n{% endfor %}" + _OPENS
)
"""As Qwen 3 Coder: arguments are no JSON."""

FORMATS: Mapping[str, ToolFormat] = {
    TAGGED: ToolFormat(
        '<tool_call>\n{"name": "',
        '", "arguments": ',
        '}\n</tool_call>\n<tool_call>\n{"name": "',
        "}\n</tool_call>",
    ),
    ONE_BARE_OBJECT: ToolFormat('{"name": "', '", "parameters": ', "", "}"),
    LIST_WITH_IDS: ToolFormat(
        '[TOOL_CALLS] [{"name": "',
        '", "arguments": ',
        f', "id": "{ID_SLOT}"}}, {{"name": "',
        f', "id": "{ID_SLOT}"}}]',
    ),
    SECTIONS: ToolFormat(
        "<|calls|><|call|>function<|sep|>",
        "\n```json\n",
        "\n```<|/call|>\n<|call|>function<|sep|>",
        "\n```<|/call|><|/calls|>",
    ),
}
"""How each writes calls."""

TAGS_ALIKE = (
    _SHOWN + "{% for m in messages %}{% if m.role == 'assistant' %}<|turn|>{% if m.tool_calls %}"
    "<|START_ACTION|>[{% for c in m.tool_calls %}"
    '{"tool": "{{ c.function.name }}", "with": {{ c.function.arguments | tojson }}}'
    "{% if not loop.last %}, {% endif %}{% endfor %}]<|END_ACTION|>{% else %}"
    "<|START_RESPONSE|>{{ m.content }}<|END_RESPONSE|>{% endif %}<|end|>{% else %}"
    "<|{{ m.role }}|>{{ m.content }}<|end|>{% endif %}{% endfor %}"
)
"""As Command R: what opens and ends calls begins like what opens and ends texts."""

ANOTHER_END = (
    _SHOWN + "{% for m in messages %}<|start|>{{ m.role }}\n{% if m.tool_calls %}"
    "{% for c in m.tool_calls %}<function={{ c.function.name }}>{{ c.function.arguments | tojson }}"
    "</function>{% endfor %}<|eom_id|>{% else %}{{ m.content }}<|eot_id|>{% endif %}{% endfor %}"
)
"""As functionary: a turn of calls ends with another token than one of text."""

COUNTED = (
    _SHOWN + "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}"
    "{% for c in m.tool_calls or [] %}<|call|>{{ c.function.name }}:{{ loop.index0 }}<|with|>"
    "{{ c.function.arguments | tojson }}<|/call|>{% endfor %}<|im_end|>\n{% endfor %}"
)
"""As Kimi K2: calls are numbered."""

BRACED = (
    _SHOWN + "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}"
    "{% for c in m.tool_calls or [] %}<|call>{{ c.function.name ~ '{' }}"
    "{% if c.function.arguments is mapping %}{% for name, value in c.function.arguments | items %}"
    "{{ name }}:{{ value }}{% endfor %}{% else %}{{ c.function.arguments }}{% endif %}"
    "}<call|>{% endfor %}<|im_end|>\n{% endfor %}"
)
"""As Gemma 4: an object is written without quotation marks, and a text as it is."""

MARK_EVERYWHERE = (
    _SHOWN + "{% for m in messages %}{{ m.role }}<|sep|>{{ m.content }}"
    "{% for c in m.tool_calls or [] %}<|sep|>{{ c.function.name }} "
    "{{ c.function.arguments | tojson }}{% endfor %}<|end|>{% endfor %}"
)
"""What stands before a call stands before every text."""
