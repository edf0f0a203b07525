def test_x(wheel):
    print(wheel)
