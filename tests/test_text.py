import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lrat_sim.text import WIDEST, count_tokens, first_tokens, normalise, tokenizer

WORDS = st.lists(
    st.sampled_from(["river", "Dresden", "unaffable", "1945", "—", "Łódź", "x" * 130, "a,b", "국"]), max_size=60
)
TEXTS = st.one_of(st.text(max_size=200), WORDS.map(" ".join))


def first_tokens_of_the_whole(text, limit):
    """The plain way: encode everything up to the bound in characters."""
    text = text[: WIDEST * limit]
    offsets = tokenizer().encode(text, add_special_tokens=False).offsets
    if len(offsets) <= limit:
        return text
    while limit and offsets[limit][0] < offsets[limit - 1][1]:
        limit -= 1
    return text[: offsets[limit - 1][1]] if limit else ""


@settings(max_examples=50, deadline=None)
@given(TEXTS, st.integers(0, 40))
@example("한국어 위키백과", 1)
@example("x" * 130 + " end", 3)
def test_first_tokens_are_a_beginning_of_at_most_so_many_tokens(text, limit):
    head = first_tokens(text, limit)
    assert text.startswith(head)
    assert len(tokenizer().encode(head, add_special_tokens=False).ids) <= limit


LONG = {
    "spaces": " ",
    "base64": "dGhlIGxhbXAgcm9vbSBvZiB0aGUgdG93ZXI",
    "hex": "9f3c07",
    "zero-width joins": "a\u200d",
    "Thai": "ห้องตะเกียงของหอคอย",
    "Khmer": "បន្ទប់ចង្កៀងនៃប៉ម",
    "Tibetan": "མཁར་ལས་ཀྱི་སྒྲོན་ཁང་",
    "Chinese": "塔楼的灯室",
    "marks": "a\u0301",
    "punctuation": "&",
    "emoji": "🔦",
}


@pytest.mark.parametrize("unit", LONG.values(), ids=LONG)
def test_five_megabytes_without_words_are_cut_and_counted_by_their_beginning(unit, monkeypatch):
    lengths = recorded_lengths(monkeypatch)
    text = unit * (5_000_000 // len(unit))
    assert 0 < len(first_tokens(text, 64)) <= 64 * WIDEST
    assert lengths == [64 * WIDEST]
    assert count_tokens(text) <= len(text)
    assert sum(lengths) < 100_000


@pytest.mark.parametrize(
    "text", ["the lamp-room of the tower, 1871. " * 40, "https://example.org/a_b?c=d&e=(f)#" * 5, "e\u0301té"]
)
def test_latin_text_is_counted_as_the_tokenizer_does(text):
    assert count_tokens(text) == len(tokenizer().encode(text, add_special_tokens=False).ids)


def test_a_long_text_is_counted_by_its_beginning():
    assert count_tokens("lamp " * 1_000_000) == pytest.approx(1_000_000, rel=1e-3)


ENGLISH = "The tower was built by two brothers from the harbour, and their sister kept its lamp for forty years."
TRANSLATIONS = {
    "Thai": "หอคอยนี้สร้างโดยพี่น้องสองคนจากท่าเรือ และน้องสาวของพวกเขาดูแลตะเกียงเป็นเวลาสี่สิบปี",
    "Khmer": "ប៉មនេះត្រូវបានសាងសង់ដោយបងប្អូនប្រុសពីរនាក់មកពីកំពង់ផែ ហើយប្អូនស្រីរបស់ពួកគេបានថែទាំចង្កៀងអស់សែសិបឆ្នាំ",
    "Lao": "ຫໍຄອຍນີ້ສ້າງໂດຍອ້າຍນ້ອງສອງຄົນຈາກທ່າເຮືອ ແລະນ້ອງສາວຂອງເຂົາເຈົ້າດູແລໂຄມໄຟເປັນເວລາສີ່ສິບປີ",
    "Burmese": "ဤမျှော်စင်ကို ဆိပ်ကမ်းမှ ညီအစ်ကိုနှစ်ယောက် ဆောက်ခဲ့ပြီး သူတို့၏ညီမက မီးအိမ်ကို နှစ်လေးဆယ် ထိန်းသိမ်းခဲ့သည်။",
    "Chinese": "这座塔是由来自港口的两兄弟建造的，他们的妹妹看守塔灯四十年。",
    "Japanese": "この塔は港町の二人の兄弟によって建てられ、その妹が四十年間灯りを守り続けた。",
    "Korean": "이 탑은 항구에서 온 두 형제가 지었고, 그들의 여동생이 사십 년 동안 등불을 지켰다.",
    "Tibetan": "མཁར་འདི་གྲུ་ཁ་ནས་ཡོང་བའི་སྤུན་གཉིས་ཀྱིས་བཟོས་པ་དང་། ཁོང་ཚོའི་སྲིང་མོས་ལོ་བཞི་བཅུའི་རིང་སྒྲོན་མེ་སྲུངས།",
    "Hindi": "यह मीनार बंदरगाह के दो भाइयों ने बनाई थी, और उनकी बहन ने चालीस साल तक उसका दीपक संभाला।",
    "Russian": "Башню построили два брата из гавани, а их сестра сорок лет следила за её лампой.",
    "Greek": "Τον πύργο τον έχτισαν δύο αδέλφια από το λιμάνι, και η αδελφή τους φύλαγε τη λάμπα του σαράντα χρόνια.",
    "Arabic": "بنى البرج أخوان من الميناء، وحافظت أختهما على مصباحه أربعين عامًا.",
    "Amharic": "ግንቡን የገነቡት ከወደቡ የመጡ ሁለት ወንድማማቾች ሲሆኑ እህታቸው ለአርባ ዓመታት መብራቱን ጠበቀች።",
    "French": "La tour fut bâtie par deux frères du port, et leur sœur garda sa lampe pendant quarante ans.",
}


@pytest.mark.parametrize("said", TRANSLATIONS.values(), ids=TRANSLATIONS)
@pytest.mark.parametrize("times", [1, 20])
def test_what_is_said_counts_alike_in_every_script(said, times):
    english = count_tokens(ENGLISH * times)
    assert english / 2 < count_tokens(said * times) < english * 2


def test_first_tokens_keep_the_text_as_it_stands():
    assert first_tokens("The  Elbe,\nin Dresden", 4) == "The  Elbe,\n"[:10]
    assert first_tokens("short", 64) == "short"
    assert first_tokens("anything", 0) == ""
    assert first_tokens("", 5) == ""


def recorded_lengths(monkeypatch):
    """The lengths of the texts that the tokenizer is given from now on."""
    lengths = []

    class Recording:
        def encode(self, text, **options):
            lengths.append(len(text))
            return tokenizer().encode(text, **options)

    monkeypatch.setattr("lrat_sim.text.tokenizer", Recording)
    return lengths


def test_tokens_are_counted_without_special_ones():
    assert count_tokens("river") == 1
    assert count_tokens("") == 0


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("The  Elbe.", "elbe"),
        ("Łódź, Poland", "lodz poland"),
        ("Émile_Zola", "emile zola"),
        ("STRASSE straße", "strasse strasse"),
        ("an apple a day", "apple day"),
        ("theatre", "theatre"),
        ("12 May 1890", "12 may 1890"),
        ("℡", "tel"),
        ("?!", ""),
        ("A", "a"),
        ("The The", "the the"),
        ("C++ and C#, not C", "c++ and c# not c"),
        ("Søren Þór, Diyarbakır", "soren thor diyarbakir"),
        ("किताब", "किताब"),
        ("กรุงเทพ", "กรุงเทพ"),
        ("ガ", "ガ"),
        ("Королёв, май", "королев май"),
        ("שָׁלוֹם", "שלום"),
        ("مُحَمَّد", "محمد"),
        ("soft\u00adware", "software"),
    ],
)
def test_normalised_names_compare_without_case_accents_punctuation_articles(text, plain):
    assert normalise(text) == plain


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=60))
def test_normalising_twice_changes_nothing(text):
    assert normalise(normalise(text)) == normalise(text)
