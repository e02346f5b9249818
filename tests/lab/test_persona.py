from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab import persona, strict
from lab.errors import ConfigError, ConfigErrors
from lab.persona import Answer, Mind, Persona, matches

MINIMAL = """\
name: Sam
number: +12025550150
facts: {city: Oslo}
reactions:
  - name: name
    when: [your name, who are you]
    say: I am Sam.
  - name: city
    when: where * live|from
    unless: not
    say: ["In {{facts.city}}.", "{{city}}, it is."]
  - name: secret
    when: secret
    say: Only once.
    once: true
  - name: bye
    when: goodbye
    say: Bye.
    then: hang_up
"""


def read(text: str) -> Persona:
    return strict.parse(text, "sam.yaml", Persona)


def mind(extra: str = "", seed: int = 0) -> Mind:
    return Mind(read(MINIMAL + extra), seed)


# -- patterns ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("can you make it", "So, CAN you make it?"),
        ("whats your name", "What's your name"),
        ("what's your name", "Whats your name"),
        ("10 30", "It is at 10:30."),
        ("10:30", "at 10.30"),
        ("speaking with|to", "Am I speaking to Sam"),
        ("can * make it", "can make it"),
        ("can * make it", "can you and a few of them make it"),
        ("twenty-two", "Twenty two."),
        ("straße", "STRASSE"),
        ("repeat that?", "repeat that"),
    ],
)
def test_patterns_that_match(pattern: str, text: str) -> None:
    assert matches(pattern, text)


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("can you make it", "can you really make it"),
        ("can you", "scan your"),
        ("you", "your"),
        ("can * make", "can one two three four five six seven make"),
        ("speaking with|to", "speaking"),
        ("a", ""),
    ],
)
def test_patterns_that_do_not_match(pattern: str, text: str) -> None:
    assert matches(pattern, text) == 0


def test_a_match_tells_how_far_it_reaches_the_last_time() -> None:
    assert matches("yes", "yes no yes no") == len("yes no yes")
    assert matches("a * b", "a x b, a y b z") == len("a x b a y b")


@pytest.mark.parametrize(
    "pattern", ["", " ", "*", "* a", "a *", "a * * b", "a||b", "a|", "?", "(a)", "a.*", "a$", "[ab]", "a\\d", "colou*r"]
)
def test_bad_patterns_are_refused(pattern: str) -> None:
    with pytest.raises(ConfigError):
        matches(pattern, "text")


@given(st.text(max_size=30), st.text(max_size=60))
def test_any_pattern_is_an_answer_or_a_config_error(pattern: str, text: str) -> None:
    try:
        reach = matches(pattern, text)
    except ConfigError:
        return
    assert 0 <= reach <= len(persona.normalise(text))


@given(st.lists(st.from_regex(r"\A[a-z]{1,6}\Z"), min_size=1, max_size=6), st.text(alphabet="xyz ", max_size=20))
def test_words_match_themselves_anywhere(words: list[str], around: str) -> None:
    assert matches(" ".join(words), f"{around} {', '.join(words).upper()}! {around}")


@given(st.text())
def test_normalising_twice_changes_nothing(text: str) -> None:
    once = persona.normalise(text)
    assert persona.normalise(once) == once


# -- the file ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("+12025550150", "+14155550150", "sam.yaml:2: `number`: `+14155550150` is outside the lab's range"),
        ("where * live|from", "where *", "sam.yaml:9: `reactions.1.when.0`: in `where *` a `*` has no word"),
        ("[your name, who are you]", "[]", "sam.yaml:6: `reactions.0.when` needs at least 1"),
        ("name: bye", "name: city", "sam.yaml:16: `reactions.3.name`: two reactions are named `city`"),
        ("{{city}},", "{{citty}},", "there is no fact `citty` (did you mean `city`?)"),
        ("hang_up", "hangup", "did you mean `hang_up`?"),
        ("once: true", "ones: true", "unknown key `reactions.2.ones` (did you mean `once`?)"),
        ("name: Sam", "name: Sam\ngreeting: '{{nothing}}'", "sam.yaml:2: `greeting`: there is no fact `nothing`"),
        ("name: Sam", "name: Sam\nvoice: {rate: 9}", "`voice.rate` must be at most 2"),
        ("name: Sam", "name: Sam\nexpect: {told: [sity]}", "no reaction is named `sity` (did you mean `city`?)"),
        ("name: Sam", "name: Sam\nexpect: {disconnected_by: [custmer]}", "did you mean `customer`?"),
    ],
)
def test_mistakes_in_the_file(old: str, new: str, message: str) -> None:
    assert old in MINIMAL
    with pytest.raises(ConfigErrors) as caught:
        read(MINIMAL.replace(old, new))
    assert message in str(caught.value)


def test_expectations_keep_their_types() -> None:
    expect = read(MINIMAL + "expect: {disconnected_by: bot, told: city, fields: {A: yes, B: true, C: 3}}").expect
    assert (expect.disconnected_by, expect.told) == (("bot",), ("city",))
    assert expect.fields == {"A": "yes", "B": True, "C": 3}


# -- the mind ----------------------------------------------------------------------------------------------------------


def test_what_was_asked_last_is_answered() -> None:
    assert mind().answer("What is your name? Where do you live?").reaction == "city"
    assert mind().answer("Where do you live, and what is your name?").reaction == "name"


def test_of_equals_the_upper_one_wins() -> None:
    text = MINIMAL.replace("when: secret", "when: who are you")
    assert Mind(read(text)).answer("And who are you?").reaction == "name"


def test_unless_and_once() -> None:
    sam = mind()
    assert sam.answer("where are you not from").reaction is None
    assert sam.answer("a secret?") == Answer("Only once.", "secret")
    assert sam.answer("a secret?").reaction is None


def test_facts_are_put_in_and_the_seed_chooses_the_variant() -> None:
    said = {mind(seed=seed).answer("where do you live").text for seed in range(20)}
    assert said == {"In Oslo.", "Oslo, it is."}
    assert [mind(seed=7).answer("where do you live") for _ in range(3)] == [
        mind(seed=7).answer("where do you live")
    ] * 3


def test_hanging_up() -> None:
    assert mind().answer("Goodbye!") == Answer("Bye.", "bye", hang_up=True)


def test_it_gives_up_politely_when_it_understands_nothing_several_times_in_a_row() -> None:
    sam = mind("gives_up_after: 2\notherwise: What?\ngives_up: Enough. Bye.\n")
    assert [sam.answer("mumble").text for _ in range(2)] == ["What?", "What?"]
    sam.answer("your name?")
    assert [sam.answer("mumble") for _ in range(3)] == [
        Answer("What?"),
        Answer("What?"),
        Answer("Enough. Bye.", hang_up=True),
    ]


def test_no_words_need_no_answer() -> None:
    assert mind().answer(" ... ") == Answer("")


# -- the shipped customer ----------------------------------------------------------------------------------------------

HEARD = {
    "identity": [
        "Hi, this is Robin from Oak Dental. Am I speaking with Jordan?",
        "I, this is Robin from oak dental, am I speaking with Jordan.",
        "Hi, this is Robin from Oke Dental. I am I speaking with Jordan?",
        "Hello, may I speak to Georgian please?",
        "Is this Jordon Lee?",
        "Who am I speaking to?",
    ],
    "confirms": [
        "Your appointment is on Tuesday at 10:30. Can you make it?",
        "Great. Your appointment is on Tuesday at ten thirty. Will you be able to come?",
        "You have an appointment on Tuesday at 10 30 with Dr. Patel. Does that still work for you?",
        "I'm calling to remind you of your appointment on Tuesday at 10.30.",
        "Can you confirm your appointment for choose day at 1030?",
        "Hi Jordan, your appointment is on Tuesday at 10 30. Are you able to attend?",
        "Is Tuesday at ten thirty still good for you?",
        "Please bring your insurance card. Will you come?",
        "Can you come on Tuesday at 10:30 with Dr. Patel?",
        "Would you like to confirm?",
    ],
    "parking": [
        "Great, do you have any questions?",
        "Thank you for confirming. Is there anything else I can help you with?",
        "Is there any thing else you need?",
        "Your appointment is confirmed. Do you have any other questions?",
        "Do you've any questions about your appointment?",
        "How can I assist you further?",
    ],
    "parking_answer": [
        "Parking is free, behind the building.",
        "Yes, there is free parking behind the building.",
        "Yes, you can park for free behind the building.",
        "Barking is free behind the building.",
        "There's free parking in the back of the building.",
    ],
    "noted": [
        "Great, your appointment is confirmed.",
        "We look forward to seeing you on Tuesday.",
        "See you then, Jordan.",
    ],
    "goodbye": ["Thank you. Goodbye.", "Thanks, good bye!", "Have a great day, Jordan.", "Thank you, Jordan. Bye-bye."],
    "here": ["Are you still there?", "I cannot hear you. Can you hear me?", "Hello, are you there?"],
    "keeps": ["Would you like to reschedule?", "Do you want to move your appointment?"],
    "birthday": ["Could you tell me your date of birth?"],
    "brings": ["Please bring your insurance card."],
    "repeats": ["Sorry, could you repeat that?", "I didn't catch that."],
}


@pytest.fixture(scope="module")
def jordan() -> Persona:
    return persona.load(persona.shipped()["dental-confirms"])


@pytest.mark.parametrize(("reaction", "heard"), [(r, line) for r, lines in HEARD.items() for line in lines])
def test_jordan_understands_paraphrases_and_what_a_small_ear_makes_of_them(
    jordan: Persona, reaction: str, heard: str
) -> None:
    assert Mind(jordan).answer(heard).reaction == reaction


@pytest.mark.parametrize("seed", range(8))
def test_a_whole_call_with_jordan(jordan: Persona, seed: int) -> None:
    caller = Mind(jordan, seed)
    bot = [
        "Hi, this is Robin from Oak Dental. Am I speaking with Jordan?",
        "Your appointment is on Tuesday at ten thirty. Can you come?",
        "Great. Do you have any questions?",
        "Parking is free, behind the building. Do you have any other questions?",
        "Thank you. Goodbye.",
    ]
    answers = [caller.answer(line) for line in bot]
    assert [a.reaction for a in answers] == ["identity", "confirms", "parking", "nothing_else", "goodbye"]
    assert [a.hang_up for a in answers] == [False] * 4 + [True]
    assert set(jordan.expect.told) <= {a.reaction for a in answers}
    assert sum(len(a.text.split()) for a in answers) >= 30


def test_jordan_ends_a_call_that_goes_round_in_circles(jordan: Persona) -> None:
    caller = Mind(jordan)
    answers = [caller.answer("You're welcome! If you have any other questions, feel free to ask.") for _ in range(3)]
    assert [a.reaction for a in answers] == ["parking", "nothing_else", "leaves"]
    assert answers[-1].hang_up


def test_shipped_personas_have_numbers_of_their_own() -> None:
    personas = [persona.load(path) for path in persona.shipped().values()]
    assert len({p.number for p in personas}) == len(personas)
