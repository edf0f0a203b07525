"""What a browser would make of a page."""

from html.parser import HTMLParser


class Page(HTMLParser):
    """The elements of a page with their attributes, and the text that a reader sees."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.elements, self.words = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_data(self, data):
        if self.tags[-1:] != ["style"]:
            self.words.append(data)

    @property
    def tags(self):
        return [tag for tag, _ in self.elements]

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())

    def values(self, *names):
        """The values of some attributes."""
        return [value for _, given in self.elements for name, value in given.items() if name in names]

    def links(self, start):
        """The targets of links that start so, each once."""
        links = (given.get("href") or "" for tag, given in self.elements if tag == "a")
        return list(dict.fromkeys(link for link in links if link.startswith(start)))
