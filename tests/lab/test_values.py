"""Lines as customers say them on the phone, and the values in them."""

from __future__ import annotations

import subprocess
import sys
import time
from datetime import date, timedelta

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab import values
from lab.flow import FlowField, Kind
from lab.values import Value

TODAY = date(2026, 11, 25)
"""A Wednesday."""

DAY, TIME, AMOUNT = FlowField(type="day"), FlowField(type="time"), FlowField(type="amount")
NUMBER, PHONE, NAME = FlowField(type="number"), FlowField(type="phone"), FlowField(type="name")
YES_NO, TEXT = FlowField(type="yes_no"), FlowField(type="text")
SLOT = FlowField(
    type="choice",
    choices={
        "morning": ("morning", "before noon"),
        "afternoon": ("afternoon", "after lunch"),
        "evening": ("evening", "after work"),
    },
)
PLACE = FlowField(
    type="choice",
    choices={
        "neighbor": ("neighbor", "neighbour", "next door"),
        "front_porch": ("porch", "front door", "by the door"),
        "nowhere": ("nowhere", "do not leave it", "don't leave it"),
    },
)
EVERY = [DAY, TIME, AMOUNT, NUMBER, PHONE, NAME, YES_NO, TEXT, SLOT, PLACE]


def read(field: FlowField, heard: str, *, context: str = "") -> Value | None:
    return values.read(field, heard, TODAY, context=context)


# -- days --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("heard", "day"),
    [
        ("Today.", "2026-11-25"),
        ("I can do it tonight", "2026-11-25"),
        ("this afternoon works", "2026-11-25"),
        ("Tomorrow would be great.", "2026-11-26"),
        ("uh the day after tomorrow I guess", "2026-11-27"),
        ("Friday", "2026-11-27"),
        ("on Friday morning, please", "2026-11-27"),
        ("this Friday", "2026-11-27"),
        ("this coming friday", "2026-11-27"),
        ("Friday's good", "2026-11-27"),
        ("next Friday", "2026-12-04"),
        ("Friday next week", "2026-12-04"),
        ("next week on Friday", "2026-12-04"),
        ("Next week, maybe Tuesday?", "2026-12-01"),
        ("Friday after next", "2026-12-11"),
        ("next Friday, no, Saturday", "2026-12-05"),
        ("Wednesday next week, I mean Thursday", "2026-12-03"),
        ("can you move it from Friday to Monday", "2026-11-30"),
        ("Monday is better than Friday", "2026-11-30"),
        ("I work Friday, so Saturday", "2026-11-28"),
        ("give me till Friday", "2026-11-27"),
        ("the fifth of January twenty twenty-seven", "2027-01-05"),
        ("Monday", "2026-11-30"),
        ("next Monday", "2026-11-30"),
        ("Wednesday", "2026-12-02"),
        ("a week from Friday", "2026-12-04"),
        ("a week from tomorrow", "2026-12-03"),
        ("a week tomorrow", "2026-12-03"),
        ("on the fifteenth", "2026-12-15"),
        ("the 15th", "2026-12-15"),
        ("It'd have to be the twenty-fifth.", "2026-11-25"),
        ("the thirty first", "2026-12-31"),
        ("on the 1st", "2026-12-01"),
        ("the first, that's when my check comes", "2026-12-01"),
        ("by the second", "2026-12-02"),
        ("I get paid on the 5th so then", "2026-12-05"),
        ("December 3rd", "2026-12-03"),
        ("december third", "2026-12-03"),
        ("December the third, please", "2026-12-03"),
        ("3 December", "2026-12-03"),
        ("the third of December", "2026-12-03"),
        ("the third of, uh, December", "2026-12-03"),
        ("Dec. 3rd", "2026-12-03"),
        ("the fifth of May", "2027-05-05"),
        ("January tenth twenty twenty seven", "2027-01-10"),
        ("January 10th, 2027", "2027-01-10"),
        ("12/3", "2026-12-03"),
        ("12/3/2026", "2026-12-03"),
        ("2026-12-03", "2026-12-03"),
        ("Friday the fourth of December", "2026-12-04"),
        ("Friday, December 4th", "2026-12-04"),
        ("tomorrow, that's Thursday", "2026-11-26"),
        ("in two weeks", "2026-12-09"),
        ("in 3 days", "2026-11-28"),
        ("in about a week", "2026-12-02"),
        ("in a couple of weeks", "2026-12-09"),
        ("two weeks from today", "2026-12-09"),
        ("in a month", "2026-12-25"),
        ("the end of the month", "2026-11-30"),
        ("at the end of next month", "2026-12-31"),
        ("end of December", "2026-12-31"),
        ("the first of next month", "2026-12-01"),
        ("the fifth of the month", "2026-12-05"),
        ("the first Monday of December", "2026-12-07"),
        ("the last Friday of the month", "2026-11-27"),
        ("no later than Friday", "2026-11-27"),
        ("not before Friday", "2026-11-27"),
        ("I won't have it until Friday", "2026-11-27"),
        ("I'll be by at 10 on Friday", "2026-11-27"),
        ("Friday after work", "2026-11-27"),
        ("Friday, no, Saturday", "2026-11-28"),
        ("Friday no wait Saturday", "2026-11-28"),
        ("friday i mean saturday", "2026-11-28"),
        ("Friday. Actually, make that Monday.", "2026-11-30"),
        ("Sorry, not Friday, Saturday.", "2026-11-28"),
        ("not Friday or Saturday, Sunday", "2026-11-29"),
        ("I can't do Friday, but Monday is fine", "2026-11-30"),
        ("Friday doesn't work. Monday?", "2026-11-30"),
        ("Thursday's no good, how about Monday", "2026-11-30"),
        ("I'm busy tomorrow, Friday is okay", "2026-11-27"),
        ("Any day except Friday, say Monday", "2026-11-30"),
        ("Friday would not be a problem", "2026-11-27"),
        ("I don't mind Friday", "2026-11-27"),
        ("Why don't we say Friday", "2026-11-27"),
        ("I don't work Friday so come then", "2026-11-27"),
        ("December third, no, the fourth", "2026-12-04"),
        ("the fifteenth of January, sorry, the sixteenth", "2027-01-16"),
        ("Let's make it Friday, no problem", "2026-11-27"),
        ("I already paid last Friday, but I can do tomorrow", "2026-11-26"),
    ],
)
def test_days(heard: str, day: str) -> None:
    assert read(DAY, heard) == day


@pytest.mark.parametrize(
    "heard",
    [
        "",
        "I don't know yet",
        "next week",
        "next month sometime",
        "on payday",
        "when I get paid",
        "Friday or Saturday",
        "Monday, maybe Tuesday",
        "between Monday and Wednesday",
        "Friday week",
        "tomorrow or the day after",
        "a Monday in December",
        "Friday of next month",
        "I sent it on the fifteenth",
        "It was the third of November.",
        "Friday I'm working",
        "after Friday",
        "sometime before the fifteenth",
        "the Friday after Thanksgiving",
        "I'm away until Friday",
        "I paid that last Friday",
        "every Friday",
        "not Friday",
        "I can't do Friday",
        "Friday is no good",
        "Friday, no, that doesn't work",
        "in a few days",
        "just a second please",
        "this is the second time you call",
        "for the first time",
        "I may pay it in March",
        "I waited for two weeks",
        "Friday the 5th",
        "February thirtieth",
        "December 3rd 2020",
        "the weekend",
        "I'm here 24/7",
        "in a week or two",
        "fifty dollars",
        "at five",
    ],
)
def test_no_day(heard: str) -> None:
    assert read(DAY, heard) is None


@pytest.mark.parametrize(
    ("today", "heard", "day"),
    [
        ("2026-11-27", "Friday", "2026-12-04"),  # a Friday
        ("2026-11-27", "next Friday", "2026-12-04"),
        ("2026-11-29", "next Friday", "2026-12-04"),  # a Sunday: the week after begins tomorrow
        ("2026-11-29", "Monday", "2026-11-30"),
        ("2026-12-15", "the fifteenth", "2026-12-15"),
        ("2026-12-16", "the fifteenth", "2027-01-15"),
        ("2026-12-31", "the first", "2027-01-01"),
        ("2027-01-31", "the thirtieth", "2027-03-30"),
        ("2027-01-31", "in a month", "2027-02-28"),
        ("2026-12-26", "December 25th", "2027-12-25"),
        ("2026-12-10", "the end of January", "2027-01-31"),
        ("2027-02-10", "February 29th", "2028-02-29"),
    ],
)
def test_days_depend_on_today(today: str, heard: str, day: str) -> None:
    assert values.read(DAY, heard, date.fromisoformat(today)) == day


# -- times -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("heard", "at"),
    [
        ("half past ten", "10:30"),
        ("Half past two would be good.", "14:30"),
        ("quarter to five", "16:45"),
        ("a quarter past nine", "09:15"),
        ("ten past five", "17:10"),
        ("ten to four", "15:50"),
        ("twenty minutes to six", "17:40"),
        ("ten minutes to one", "12:50"),
        ("quarter to twelve at night", "23:45"),
        ("ten thirty", "10:30"),
        ("10:30", "10:30"),
        ("3.30", "15:30"),
        ("3:30 pm", "15:30"),
        ("3:30 p.m. would work", "15:30"),
        ("at 7pm", "19:00"),
        ("seven p m", "19:00"),
        ("9 a.m.", "09:00"),
        ("five a.m.", "05:00"),
        ("ten oh five", "10:05"),
        ("noon", "12:00"),
        ("twelve noon", "12:00"),
        ("midnight", "00:00"),
        ("five o'clock", "17:00"),
        ("5 o clock", "17:00"),
        ("at five in the afternoon", "17:00"),
        ("seven in the evening", "19:00"),
        ("six in the morning", "06:00"),
        ("ten at night", "22:00"),
        ("tomorrow evening around seven", "19:00"),
        ("tomorrow morning at nine", "09:00"),
        ("twelve thirty", "12:30"),
        ("at six", "18:00"),
        ("maybe around eight", "08:00"),
        ("Eleven", "11:00"),
        ("15:45", "15:45"),
        ("fifteen hundred hours", "15:00"),
        ("on December 3rd at four", "16:00"),
        ("on the fifteenth at ten", "10:00"),
        ("there are two of us, at ten please", "10:00"),
        ("ten, no, eleven", "11:00"),
        ("nine pm, no, ten", "22:00"),
        ("six p.m., no, make it seven", "19:00"),
        ("ten am, no, two", "14:00"),
        ("half nine", "09:30"),
        ("quarter of six", "17:45"),
        ("at 1030", "10:30"),
        ("the ten works", "10:00"),
        ("two, no wait, ten", "10:00"),
        ("not at ten, at eleven", "11:00"),
        ("Good morning, six would be fine", "18:00"),
        ("not in the morning, at seven in the evening", "19:00"),
        ("I can do five fifteen", "17:15"),
    ],
)
def test_times(heard: str, at: str) -> None:
    assert read(TIME, heard) == at


@pytest.mark.parametrize(
    "heard",
    [
        "in the morning",
        "ten or eleven",
        "two or three pm",
        "between two and four",
        "nine to five",
        "ten to twelve",
        "I get off at five, so six",
        "in half an hour",
        "in five minutes",
        "give me two minutes",
        "one moment please",
        "any time is fine",
        "on the fifteenth",
        "fifty dollars",
        "25:10",
        "not at ten",
        "I'm not sure",
        "call me at 202-555-0143",
    ],
)
def test_no_time(heard: str) -> None:
    assert read(TIME, heard) is None


# -- amounts and numbers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("heard", "amount"),
    [
        ("fifty dollars", 50),
        ("$50", 50),
        ("$50.", 50),
        ("50 bucks", 50),
        ("Fifty.", 50),
        ("about fifty I guess", 50),
        ("one hundred and twenty", 120),
        ("a hundred", 100),
        ("a hundred and fifty bucks", 150),
        ("a hundred fifty", 150),
        ("120.50", 120.5),
        ("$1,250.75", 1250.75),
        ("fifty dollars and twenty five cents", 50.25),
        ("fifty dollars and five cents", 50.05),
        ("50 dollars 25", 50.25),
        ("five dollars fifty", 5.5),
        ("a dollar fifty", 1.5),
        ("75 cents", 0.75),
        ("a couple hundred", 200),
        ("a couple of hundred dollars", 200),
        ("two fifty", 250),
        ("two fifty dollars", 250),
        ("one twenty five", 125),
        ("two oh five", 205),
        ("twelve hundred", 1200),
        ("1200", 1200),
        ("two grand", 2000),
        ("a grand", 1000),
        ("$2k", 2000),
        ("one and a half thousand", 1500),
        ("two thousand three hundred forty five", 2345),
        ("one hundred twenty point five", 120.5),
        ("fifty on the fifteenth", 50),
        ("fifty on December 3rd", 50),
        ("at five o'clock fifty", 50),
        ("on Friday at 5 I can bring 60", 60),
        ("forty dollars in two weeks", 40),
        ("I have two kids, I can do fifty dollars", 50),
        ("two payments of fifty dollars", 50),
        ("give me a second, eighty", 80),
        ("fifty a month", 50),
        ("you can reach me at 202-555-0143, I can pay 30", 30),
        ("fifty, I mean sixty", 60),
        ("fifty dollars, no, sixty", 60),
        ("Fifty. Sorry, make that forty.", 40),
        ("not fifty, forty", 40),
        ("I can't do fifty, but thirty is fine", 30),
        ("I can't pay more than fifty", 50),
        (".50 cents no I mean $.50", 0.5),
        ("Forty or fifty, let's say forty.", 40),
        ("no more than forty dollars", 40),
        ("fifty is too much, thirty", 30),
        ("one hundred and twenty, no problem", 120),
        ("zero dollars", 0),
    ],
)
def test_amounts(heard: str, amount: float) -> None:
    got = read(AMOUNT, heard)
    assert got == amount
    assert isinstance(got, float)


@pytest.mark.parametrize(
    "heard",
    [
        "half",
        "half of it",
        "a few hundred",
        "some hundred dollars",
        "on the fifteenth",
        "at five o'clock",
        "on December 3",
        "in two weeks",
        "twenty or thirty dollars",
        "twenty to thirty",
        "between fifty and sixty dollars",
        "twenty thirty dollars",
        "twelve fifty",
        "10 percent",
        "one moment",
        "I can't pay fifty",
        "as much as I can",
        "everything",
        "no one told me",
        "it's 202-555-0143",
        "fifty now and a hundred later",
        "12.345",
        "option two",
        "less than fifty",
        "over a hundred dollars",
        "I owe 240 dollars, I can do 50",
        "What, 240 dollars? I have fifty.",
        "two twenties",
        "half a grand",
        "minus fifty",
        "it's the card ending in 4471",
        "fifty fifty",
    ],
)
def test_no_amount(heard: str) -> None:
    assert read(AMOUNT, heard) is None


def test_half_is_half_of_the_amount_the_bot_named() -> None:
    context = "240 dollars were due on November 13th. Can you make a payment?"
    assert read(AMOUNT, "maybe half", context=context) == 120
    assert read(AMOUNT, "not half, fifty", context=context) == 50
    assert read(AMOUNT, "half past ten", context=context) is None
    assert read(AMOUNT, "half", context="Is it 240 or 260 dollars?") is None


def test_an_amounts_unit_is_the_fields() -> None:
    euros = FlowField(type="amount", unit="euros")
    assert read(euros, "two of us, fifty euros") == 50
    assert values.spoken(euros, 1.0, TODAY) == "one euro"
    assert values.spoken(FlowField(type="amount", unit="kilos"), 12.5, TODAY) == "twelve point five kilos"
    assert read(FlowField(type="amount", unit="kilos"), "twelve point five kilos") == 12.5


@pytest.mark.parametrize(
    ("heard", "number"),
    [
        ("Two.", 2),
        ("just one", 1),
        ("there are five of us", 5),
        ("about twenty people", 20),
        ("a dozen", 12),
        ("a couple", 2),
        ("1,500", 1500),
        ("two weeks", 2),
        ("three, no, four", 4),
        ("order number four four seven one", 4471),
        ("none", 0),
        ("minus five", -5),
        ("twenty-one", 21),
        ("on Friday we'll be six", 6),
        ("no more than ten", 10),
        ("more than ten", None),
        ("two or three", None),
        ("between two and four", None),
        ("two point five", None),
        ("one moment", None),
        ("this one", None),
        ("a few", None),
        ("on the fifteenth", None),
        ("at five o'clock", None),
    ],
)
def test_numbers(heard: str, number: int | None) -> None:
    assert read(NUMBER, heard) == number


# -- telephone numbers -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("heard", "phone"),
    [
        ("two oh two five five five zero one four three", "+12025550143"),
        ("202-555-0143", "+12025550143"),
        ("(202) 555-0143", "+12025550143"),
        ("202.555.0143", "+12025550143"),
        ("It's 202 555 0143, thanks.", "+12025550143"),
        ("+1 202 555 0143", "+12025550143"),
        ("1-202-555-0143", "+12025550143"),
        ("one two zero two triple five zero one four three", "+12025550143"),
        ("two oh two, triple five, oh one four three", "+12025550143"),
        ("two zero two double five five oh one forty three", "+12025550143"),
        ("two oh two five fifty five oh one forty-three", "+12025550143"),
        ("area code 202, 555 0143", "+12025550143"),
        ("area code two zero two and then the number is 555-0143", "+12025550143"),
        ("555 0143", "5550143"),
        ("five five five, um, oh one four three", "5550143"),
        ("eight hundred five five five oh one four three", "+18005550143"),
        ("1 800 555 0143", "+18005550143"),
        ("plus four four seven nine one one one two three four five six", "+447911123456"),
        ("call me after 5 at 202-555-0143", "+12025550143"),
        ("202-555-0143 extension 12", "+12025550143"),
        ("202 555 0143, no, 202 555 0144", "+12025550144"),
        ("202 555 0143 sorry 0144", "+12025550144"),
        ("two oh two five five five oh one four four, no, four three", "+12025550143"),
        ("yes 202-555-0143, that's 202-555-0143", "+12025550143"),
        ("my number is 2 0 2, 5 5 5, 0 1 4 3", "+12025550143"),
        ("202-555-0143, not 202-555-0199", "+12025550143"),
        ("it's not 202-555-0199, it's 202-555-0143", "+12025550143"),
        ("my zip is 20500 and my phone is 202 555 0143", "+12025550143"),
        ("oh, two oh two five five five oh one four three", "+12025550143"),
        ("two oh two, no, three oh two, five five five, oh one four three", "+13025550143"),
        ("this number is fine", None),
        ("five five five", None),
        ("202-555-0143 or 202-555-0144", None),
        ("I'd rather not say", None),
        ("at five on the fifteenth", None),
    ],
)
def test_phones(heard: str, phone: str | None) -> None:
    assert read(PHONE, heard) == phone


# -- names -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("heard", "name"),
    [
        ("My name is John Smith.", "John Smith"),
        ("my name's john smith", "John Smith"),
        ("John Smith", "John Smith"),
        ("uh john smith", "John Smith"),
        ("Yes, this is Mary Jones speaking.", "Mary Jones"),
        ("This is Mary", "Mary"),
        ("it's S M I T H", "Smith"),
        ("Smith, S-M-I-T-H", "Smith"),
        ("John Smyth, S-M-I-T-H", "John Smith"),
        ("S as in Sam, M as in Mary, I, T, H", "Smith"),
        ("L double E", "Lee"),
        ("Mary O'Brien", "Mary O'Brien"),
        ("my name is anne-marie mcdonald", "Anne-Marie McDonald"),
        ("José García", "José García"),
        ("first name John, last name Smith", "John Smith"),
        ("last name Smith, first name is John", "John Smith"),
        ("John, John Smith", "John Smith"),
        ("John, no, Jon", "Jon"),
        ("My name is Mary Jones and I want to pay", "Mary Jones"),
        ("Kim here", "Kim"),
        ("I'm Dana White", "Dana White"),
        ("Jon without an h", None),
        ("why do you need my name", None),
        ("I don't want to say", None),
        ("No.", None),
        ("Hello?", None),
        ("I'm driving right now", None),
        ("This is ridiculous", None),
        ("What?", None),
        ("John or Mary", None),
        ("I, I don't know", None),
        ("My name is Will Smith.", "Will Smith"),
        ("The name's Bond, James Bond.", "James Bond"),
        ("That would be Mary Jones.", "Mary Jones"),
        ("it's raining", None),
        ("it's Friday", None),
        ("Fifty dollars.", None),
        ("Smith, John", None),
        ("Mary with a Y", None),
    ],
)
def test_names(heard: str, name: str | None) -> None:
    assert read(NAME, heard) == name


# -- yes and no --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("heard", "meant"),
    [
        ("Yes.", True),
        ("yeah that's me", True),
        ("Uh-huh", True),
        ("mm-hmm", True),
        ("Sure, go ahead", True),
        ("that's right", True),
        ("Correct", True),
        ("I am", True),
        ("yes I can't wait", True),
        ("of course", True),
        ("no problem", True),
        ("why not", True),
        ("I think so", True),
        ("Speaking.", True),
        ("no, I mean yes", True),
        ("No yeah, that's fine", True),
        ("No.", False),
        ("nope not really", False),
        ("no thanks", False),
        ("I can't", False),
        ("I don't think so", False),
        ("not today", False),
        ("that's not right", False),
        ("that's wrong", False),
        ("absolutely not", False),
        ("of course not", False),
        ("yeah, no, I can't", False),
        ("yes, actually no", False),
        ("I'd rather not", False),
        ("I'm not", False),
        ("nuh-uh", False),
        ("I don't know", None),
        ("I'm not sure", None),
        ("maybe", None),
        ("it depends", None),
        ("who is this", None),
        ("I can't hear you", None),
        ("yes or no", None),
        ("what do you mean", None),
        ("right now?", None),
        ("I'd love to but I can't", False),
        ("Sure, but not today", False),
        ("yes, sorry, no", False),
        ("that is right, isn't it", True),
        ("You're speaking to her", True),
        ("that'll work", True),
        ("yes but I can't make it", None),
        ("I have no idea", None),
        ("Who am I speaking to?", None),
        ("can you tell me what it's about", None),
        ("is that good?", None),
        ("call me back later", None),
        ("", None),
    ],
)
def test_yes_and_no(heard: str, meant: bool | None) -> None:
    assert read(YES_NO, heard) is meant


# -- choices and text --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "heard", "key"),
    [
        (SLOT, "In the morning.", "morning"),
        (SLOT, "mornings are best", "morning"),
        (SLOT, "Before noon, please", "morning"),
        (SLOT, "after lunch", "afternoon"),
        (SLOT, "after work is better", "evening"),
        (SLOT, "not the morning, the afternoon", "afternoon"),
        (SLOT, "not in the morning or the afternoon", None),
        (SLOT, "morning, no, evening", "evening"),
        (SLOT, "morning actually make that evening", "evening"),
        (SLOT, "I can't do mornings, so evening", "evening"),
        (SLOT, "The morning doesn't work for me, evening", "evening"),
        (SLOT, "Good morning, the evening would be best", "evening"),
        (SLOT, "around ten", "morning"),
        (SLOT, "at six", "evening"),
        (SLOT, "two thirty", "afternoon"),
        (SLOT, "morning or afternoon", None),
        (SLOT, "anytime after two", None),
        (SLOT, "at five", None),
        (SLOT, "I have two dogs", None),
        (SLOT, "not the morning", None),
        (SLOT, "any time is fine", None),
        (PLACE, "with my Neighbour", "neighbor"),
        (PLACE, "just put it on the porch", "front_porch"),
        (PLACE, "the front porch", "front_porch"),
        (PLACE, "next door", "neighbor"),
        (PLACE, "by the door, not with a neighbor", "front_porch"),
        (PLACE, "Please don't leave it.", "nowhere"),
        (PLACE, "at ten", None),
        (PLACE, "neighborhood watch", None),
    ],
)
def test_choices(field: FlowField, heard: str, key: str | None) -> None:
    assert read(field, heard) == key


def test_text_is_what_was_said() -> None:
    assert read(TEXT, "  The gate code is 4 4. ") == "The gate code is 4 4."
    assert read(TEXT, " ") is None


# -- what an author writes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "text", "value"),
    [
        (AMOUNT, "240", 240.0),
        (AMOUNT, "$19.99", 19.99),
        (AMOUNT, "much", None),
        (NUMBER, "-3", -3),
        (DAY, "tomorrow", "2026-11-26"),
        (DAY, "Friday", "2026-11-27"),
        (DAY, "2026-11-27", "2026-11-27"),
        (DAY, "2020-01-01", "2020-01-01"),
        (DAY, "2026-02-30", None),
        (TIME, "03:30", "03:30"),
        (TIME, "3:30", "15:30"),
        (TIME, "24:00", None),
        (SLOT, "morning", "morning"),
        (SLOT, "after lunch", "afternoon"),
        (PLACE, "front_porch", "front_porch"),
        (YES_NO, "yes", True),
        (YES_NO, "false", False),
        (PHONE, "+12025550143", "+12025550143"),
        (PHONE, "202-555-0143", "+12025550143"),
        (NAME, "Kim de Vries", "Kim de Vries"),
        (TEXT, " hello ", "hello"),
        (TEXT, "", None),
    ],
)
def test_literals(field: FlowField, text: str, value: Value | None) -> None:
    got = values.literal(field, text, TODAY)
    assert got == value
    assert type(got) is type(value)


# -- saying ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        (DAY, "2026-11-25", "today"),
        (DAY, "2026-11-26", "tomorrow"),
        (DAY, "2026-11-27", "Friday"),
        (DAY, "2026-12-01", "Tuesday"),
        (DAY, "2026-12-02", "Wednesday, December second"),
        (DAY, "2026-12-04", "Friday, December fourth"),
        (DAY, "2027-01-31", "Sunday, January thirty first"),
        (DAY, "2026-11-24", "Tuesday, November twenty fourth, twenty twenty six"),
        (DAY, "2005-03-20", "Sunday, March twentieth, two thousand five"),
        (DAY, "1999-06-30", "Wednesday, June thirtieth, nineteen ninety nine"),
        (DAY, "soon", "soon"),
        (AMOUNT, 50.0, "fifty dollars"),
        (AMOUNT, 1.0, "one dollar"),
        (AMOUNT, 120.5, "one hundred twenty dollars and fifty cents"),
        (AMOUNT, 0.01, "one cent"),
        (AMOUNT, 0, "zero dollars"),
        (AMOUNT, 1234.56, "one thousand two hundred thirty four dollars and fifty six cents"),
        (TIME, "10:30", "ten thirty"),
        (TIME, "12:00", "noon"),
        (TIME, "00:00", "midnight"),
        (TIME, "17:00", "five in the afternoon"),
        (TIME, "10:00", "ten o'clock"),
        (TIME, "09:05", "nine oh five"),
        (TIME, "19:15", "seven fifteen in the evening"),
        (TIME, "06:00", "six in the morning"),
        (TIME, "22:00", "ten at night"),
        (PHONE, "+12025550143", "2 0 2, 5 5 5, 0 1 4 3"),
        (PHONE, "5550143", "5 5 5, 0 1 4 3"),
        (PHONE, "+447911123456", "plus 4 4 7, 9 1 1, 1 2 3, 4 5 6"),
        (YES_NO, True, "yes"),
        (YES_NO, False, "no"),
        (SLOT, "morning", "morning"),
        (PLACE, "front_porch", "front porch"),
        (NAME, "John Smith", "John Smith"),
        (NUMBER, 12, "12"),
        (TEXT, "hello", "hello"),
    ],
)
def test_values_are_said_for_a_voice(field: FlowField, value: Value, said: str) -> None:
    assert values.spoken(field, value, TODAY) == said


# -- schemas -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (YES_NO, True),
        (DAY, "Friday"),
        (TIME, "half past ten"),
        (AMOUNT, 12.5),
        (NUMBER, 3),
        (PHONE, "202 555 0143"),
        (NAME, "John Smith"),
        (SLOT, "evening"),
        (TEXT, "x" * 200),
    ],
)
def test_schemas_take_a_value_or_null_and_nothing_else(field: FlowField, value: Value) -> None:
    schema = values.schema(field)
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate({"value": value}, schema)
    jsonschema.validate({"value": None}, schema)
    wrong_ones: list[dict[str, object]] = [{}, {"value": []}, {"value": "x" * 201}, {"value": value, "more": 1}]
    for wrong in wrong_ones:
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, schema)


# -- anything at all ---------------------------------------------------------------------------------------------------

DIGITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
DATES = st.dates(date(2024, 1, 1), date(2030, 12, 31))
WORDS = str.split(
    "no not sorry actually i mean can't do the a an and or to of on in at by from until after next this last "
    "every week weeks month day days friday saturday monday tomorrow today december may third second fifteenth "
    "15th 3rd 12/3 2026 one two five ten fifteen twenty fifty ninety hundred thousand couple half past quarter "
    "o'clock am pm morning evening noon dollars cents bucks $50 3:30 3.30 120.50 1,200 oh double triple plus area "
    "code 202-555-0143 S-M-I-T-H s m i t h as in my name is smith yes yeah yep sure , . ? end point k dozen "
    "minutes"
)


@given(
    st.sampled_from(EVERY), st.text(max_size=60) | st.lists(st.sampled_from(WORDS), max_size=14).map(" ".join), DATES
)
@settings(max_examples=400, deadline=None)
def test_any_text_is_read_to_a_value_that_can_be_stored_and_said(field: FlowField, heard: str, today: date) -> None:
    value = values.read(field, heard, today, context=heard)
    if value is None:
        return
    assert values.spoken(field, value, today)
    if field.type == "day":
        assert date.fromisoformat(str(value)) >= today
    elif field.type == "choice":
        assert value in field.choices
    assert values.literal(field, str(value), today) == value


@given(DATES, st.integers(0, 300))
@settings(max_examples=300, deadline=None)
def test_a_day_that_is_said_is_heard(today: date, ahead: int) -> None:
    day = (today + timedelta(ahead)).isoformat()
    assert values.read(DAY, values.spoken(DAY, day, today), today) == day
    assert values.read(DAY, f"{day[5:7]}/{day[8:]}".lstrip("0"), today) == day


@given(st.integers(0, 999_999))
@settings(max_examples=400, deadline=None)
def test_an_amount_that_is_said_is_heard_in_words_and_digits(cents: int) -> None:
    amount = round(cents / 100, 2)
    assert read(AMOUNT, values.spoken(AMOUNT, amount, TODAY)) == amount
    assert read(AMOUNT, f"I can pay {values.spoken(AMOUNT, amount, TODAY).title()} on the 15th.") == amount
    assert read(AMOUNT, f"${amount:,.2f}") == amount
    assert read(AMOUNT, f"{amount:.2f}") == amount


@given(st.integers(0, 1439))
@settings(max_examples=300, deadline=None)
def test_a_time_that_is_said_is_heard_in_words_and_digits(minutes: int) -> None:
    at = f"{minutes // 60:02}:{minutes % 60:02}"
    assert read(TIME, values.spoken(TIME, at, TODAY)) == at
    assert read(TIME, f"on Friday at {values.spoken(TIME, at, TODAY)} then") == at
    assert read(TIME, f"{minutes // 60 % 12 or 12}:{minutes % 60:02} {'pm' if minutes >= 720 else 'am'}") == at


@given(st.from_regex(r"\A[2-9][0-9]{2}[2-9][0-9]{6}\Z") | st.from_regex(r"\A[0-9]{7}\Z"))
@settings(max_examples=300, deadline=None)
def test_a_phone_number_that_is_said_is_heard_in_words_and_digits(digits: str) -> None:
    phone = f"+1{digits}" if len(digits) == 10 else digits
    words = " ".join(DIGITS[int(digit)] for digit in digits)
    assert read(PHONE, values.spoken(PHONE, phone, TODAY)) == phone
    assert read(PHONE, digits) == phone
    assert read(PHONE, f"it's {digits[:3]}-{digits[3:]}, thank you") == phone
    assert read(PHONE, words) == phone


def test_a_long_line_is_read_at_once() -> None:
    line = "I can't, no, not on the 15th of December at 10 30 and 50 dollars or S M I T H " * 100
    for field in EVERY:
        began = time.perf_counter()
        read(field, line)
        assert time.perf_counter() - began < 2


def test_importing_it_is_cheap() -> None:
    code = "import sys, lab.values; print([m for m in ('pydantic', 'phonenumbers', 'yaml') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def test_every_kind_is_known() -> None:
    assert {field.type for field in EVERY} == set(Kind.__args__)  # type: ignore[attr-defined]
