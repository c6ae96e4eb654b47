"""Stored bytes over time as points of an SVG drawing. Pure.

Colours are the theme's: the drawing only says `currentColor` and the theme's text classes.
"""

import datetime

from freezer_dashboard import facts

WIDTH, HEIGHT = 640, 160
LEFT, BOTTOM, TOP = 70, 24, 10


def drawing(points):
    """What the template draws of pairs of epoch second and bytes, or None without any bytes."""
    top = max((stored for _at, stored in points), default=0)
    if not top or len(points) < 2:
        return None
    inner_width, inner_height = WIDTH - LEFT - 10, HEIGHT - TOP - BOTTOM
    step = inner_width / (len(points) - 1)
    spots = [(round(LEFT + step * index, 1),
              round(TOP + inner_height * (1 - stored / top), 1))
             for index, (_at, stored) in enumerate(points)]
    floor = TOP + inner_height
    line = ' '.join('%s,%s' % spot for spot in spots)
    area = '%s,%s %s %s,%s' % (spots[0][0], floor, line, spots[-1][0], floor)
    return {
        'width': WIDTH, 'height': HEIGHT, 'left': LEFT, 'right': spots[-1][0], 'floor': floor,
        'top': TOP, 'line': line, 'area': area, 'label_y': HEIGHT - 6,
        'most': facts.people(top), 'first': day(points[0][0]), 'last': day(points[-1][0]),
        'rows': [(day(at), facts.people(stored)) for at, stored in points],
    }


def day(epoch):
    return datetime.datetime.fromtimestamp(epoch, datetime.timezone.utc).strftime('%Y-%m-%d')
