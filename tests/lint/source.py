"""What the checks of tests/lint written in Python share: C text without what is no code, and the functions in it.

Everything keeps its line: what is taken out leaves spaces and line ends, so that positions can be printed.
"""
import re

_NOT_CODE = re.compile(r"""/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'""", re.S)
_PREPROCESSOR = re.compile(r'^[ \t]*#(?:[^\n\\]|\\.|\\\n)*', re.M | re.S)
_ATTRIBUTE = re.compile(r'__attribute__\(\((?:[^()]|\([^()]*\))*\)\)')
# A definition: return type, name, parameters, and "{" alone in the first column (the brace style makes this exact).
_FUNCTION = re.compile(r'^ *(?P<head>[A-Za-z_][^\n;{}#=]*?[ \*](?P<name>\w+)\((?P<parameters>[^;{}]*))\)[^;{}()]*\n\{$', re.M)


def _blank(found):
    text = found.group(0)
    if text[0] in '"\'':
        return text[0] + ' ' * (len(text) - 2) + text[0]
    return re.sub(r'[^\n]', ' ', text)


def read(path):
    with open(path, encoding='utf-8') as file:
        return file.read()


def without_comments(text):
    """The text without comments and the contents of strings."""
    return _NOT_CODE.sub(_blank, text)


def code_of(text):
    """The text without comments, the contents of strings and preprocessor lines."""
    return _PREPROCESSOR.sub(lambda found: re.sub(r'[^\n]', ' ', found.group(0)), without_comments(text))


def line_of(text, position):
    return text.count('\n', 0, position) + 1


def unit_of(path):
    """ring.c and ring.h are one unit: common/shm/ring."""
    return re.sub(r'\.(c|h|cpp)$', '', path)


def room_of(path):
    return path.rsplit('/', 1)[0] if '/' in path else ''


def functions_of(code):
    """(name, is_static, line) of every function that the code defines."""
    for found in _FUNCTION.finditer(_ATTRIBUTE.sub(_blank, code)):
        head = found.group('head')
        yield found.group('name'), bool(re.match(r'(\w+ )*static\b', head)), line_of(code, found.start())
